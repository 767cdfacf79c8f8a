"""Results that were measured, a line of JSON each."""

import json


class Unmeasured(Exception):
    """A result that is not there and was not asked for."""


class Results:
    """The results in a file, by key."""

    is_asked = True  # whether missing ones are measured

    def __init__(self, path):
        self.path = path
        text = path.read_text() if path.exists() else ""
        whole = text[:text.rfind("\n") + 1]
        if whole != text:  # a line that was cut off
            path.write_text(whole)
        lines = map(json.loads, whole.splitlines())
        self.records = {json.dumps(line["key"]): line["result"] for line in lines}  # of equal keys the last

    def get(self, key, measure):
        """The result under `key`, measured now if it is not there."""
        name = json.dumps(key)
        if name not in self.records:
            if not self.is_asked:
                raise Unmeasured
            self.put(key, measure())
        return self.records[name]

    def put(self, key, result):
        """Keep a result, in place of one that was there."""
        name = json.dumps(key)
        if self.records.get(name) != result:
            self.records[name] = result
            with self.path.open("a") as file:
                file.write(json.dumps({"key": key, "result": result}) + "\n")
