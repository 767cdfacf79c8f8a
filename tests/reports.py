"""Run the cases of public reports, one line for each.

A folder of cases has `import/NAME` (a model, an image of the network's size, and `expected.txt` with
the command and the right scores), `data/NAME` (`make.py` builds a data set, `run.sh` shows what
patchtool makes of it, `expected.txt` says in words what is right) and `fuzz/` (files that must be
refused). Imports are judged by their scores: a case named `SILENT_*` may be refused with a hint
instead. What a data case prints is judged by the words of RIGHT and WRONG; those of another name are run
and shown, not judged.

    python -m tests.reports --patchtool PATH [--cases FOLDER] [NAME...]
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NUMBER = r"-?\d+\.\d+(?:e-?\d+)?"
TOLERANCE = 2e-3  # largest difference of a score, as a share of their range
STEPS = 0.02  # likewise, where the import says what it rounds otherwise than the model

# What a data case must print, and what it must not, as regular expressions.
RIGHT = {
    "best-epoch-tie-keeps-the-first": [r"of 18 validation images right", r"of 3 test images right",
                                       r"(?s)(best of 60 epochs: epoch \d+,).*-- same training.*\1"],
    "confusion-picture-clipped": [r"right (\(\d+, \d+\))\ntrain \1\neval \1"],
    "eval-takes-unknown-class-for-index": [r"(?s)rc 2.*rc 2", r"no label for 1 of 4 class folders: 2 euro"],
    "inspect-of-a-trained-file": [r"(?m)^ +32 for backbone [0-9a-f]{64}"],
    "latin1-folders-merge": [r"30 images of 3 classes", r"(?s)rc 0.*rc 0"],
    "mjpeg-frame-without-huffman-tables": [r"whole.jpg +\S+ +(.*)\nrc 0\n(?s:.*)frame.jpg +\S+ +\1\nrc 0"],
    "nfc-nfd-are-two-classes": [r"20 images of 2 classes by(?s:.*)20 images of 2 classes by", r"of 8 images in 2 classes"],
    "other-formats-not-mentioned": [r"(?s)(left out: 10 files that are no JPEG or PNG, such as green/0.webp.*){3}",
                                    r'"left_out":\{"other_format":\{"count":10'],
    "output-to-stdout": [r"(?s)pipe\n\d+\nsame\n.*quiet\n\d+\nsame\n.*dash\n\d+\nsame"],
    "read-only-output-noticed-late": [r"rc 2", r"error: cannot write out/ro/t.safetensors"],
    "run-stops-at-one-bad-image": [r"(?s)0.png .*1.png .*3.png .*rc 2.*rc 2.*rc 2"],
    "silent-degenerate-sets": [r"all 20 test images are also trained on", r"all images are of one class: red",
                               r"0 of 4 images are right", r"--class-weights balanced"],
    "two-runs-one-output": [r"(?s)second:.*rc 2.*rc 2", r"another run is writing out/t.safetensors now"],
    "zip-that-cannot-be-read": [r"(?m)^error: .*bzip2\b.*", r"(?m)^error: .*lzma\b", r"(?m)^error: .*encrypted"],
}
WRONG = {
    "eval-takes-unknown-class-for-index": [r"5 euro +10 "],
    "inspect-of-a-trained-file": [r"not a Graft image", r"generator is truncated"],
    "nfc-nfd-are-two-classes": [r"\brc [12]"],
    "read-only-output-noticed-late": [r"epoch 1", r"--resume"],
    "two-runs-one-output": [r"already exists"],
    "zip-that-cannot-be-read": [r"without --quiet"],
}


def run(command, folder, **environment):
    """Status and all that a command prints."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
                          errors="replace", timeout=600)
    return done.returncode, done.stdout, done.stderr


def is_refused(status, errors):
    """Whether a command ended as bad input must: status 2, one line of cause, a hint."""
    return status == 2 and errors.lstrip().count("\nhint: ") == 1 and "panicked" not in errors


def right_scores(expected):
    """The scores that `expected.txt` calls right."""
    for pattern in [r"(?:onnxruntime|torch) [\d.]+ scores[^:]*:((?: " + NUMBER + ")+)",
                    r"right:.*?scores(?: meant)?((?: " + NUMBER + ")+)"]:
        if found := re.search(pattern, expected):
            return [float(word) for word in found[1].split()]
    return None


def model_scores(scores, errors):
    """The scores as the model gives them: behind the function at its end, which the import says that it left out."""
    if "trailing Sigmoid" in errors:
        return [1 / (1 + math.exp(-score)) for score in scores]
    if "trailing Softmax" in errors:
        total = sum(map(math.exp, scores))
        return [math.exp(score) / total for score in scores]
    return scores


def judge_import(patchtool, case, folder):
    """Verdict and a few words on one import."""
    expected = (case / "expected.txt").read_text()
    command = re.search(r"command:\s*patchtool (import .*?) &&", expected)[1].split()
    command[command.index("m.backbone")] = str(folder / "m.backbone")
    status, _, errors = run([patchtool, *command, "--force"], case)
    cause = errors.strip().splitlines()[0] if errors.strip() else ""
    if status != 0:
        is_right = case.name.startswith("SILENT_") and is_refused(status, errors)
        return ("right" if is_right else "WRONG"), f"refused: {cause}"
    status, output, run_errors = run([patchtool, "run", "--backbone", folder / "m.backbone", "--json", "--scores",
                                  "input.png"], case)
    if status != 0:
        return "WRONG", f"run: {run_errors.strip().splitlines()[0]}"
    scores = model_scores(json.loads(output)["results"][0]["scores"], errors)
    right = right_scores(expected)
    if right is None:
        return "shown", f"scores {scores}"
    spread = max(max(right) - min(right), abs(right[0]) if len(right) == 1 else 0) or 1
    difference = max(abs(a - b) for a, b in zip(scores, right)) / spread
    bound = STEPS if "rounding" in errors or "-127" in errors or "half" in case.name else TOLERANCE
    is_right = len(scores) == len(right) and difference <= bound
    told = f"; told: {cause}" if cause else ""
    return ("right" if is_right else "WRONG"), f"largest difference {difference:.1e} of the range{told}"


def judge_data(patchtool, case, folder):
    """Verdict and a few words on a data case, run in a copy."""
    shutil.copytree(case, folder / case.name)
    if (common := case.parent / "common.py").exists():
        shutil.copy(common, folder)
    path = f"{Path(patchtool).parent}{os.pathsep}{os.environ['PATH']}"
    backbone = REPOSITORY / "tools" / "assets" / "demo" / "demo.backbone"
    status, output, errors = run(["sh", "run.sh"], folder / case.name, PATH=path, B=str(backbone),
                                 PYTHON=sys.executable, TMPDIR=str(folder))
    text = output + errors
    (folder / "text").write_text(text)
    if "Traceback" in text or "panicked" in text:
        return "WRONG", text.strip().splitlines()[-1]
    if case.name not in RIGHT:
        return "shown", " | ".join(text.strip().splitlines()[-3:])
    missing = [words for words in RIGHT[case.name] if not re.search(words, text)]
    found = [words for words in WRONG.get(case.name, []) if re.search(words, text)]
    if missing or found:
        return "WRONG", f"missing {missing}, found {found}"
    return "right", f"{len(RIGHT[case.name])} of {len(RIGHT[case.name])} things are said"


def judge_file(patchtool, case, _folder):
    """Verdict on a file that must be refused."""
    status, _, errors = run([patchtool, "inspect", case], case.parent)
    return ("right" if is_refused(status, errors) else "WRONG"), errors.strip().splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", default=REPOSITORY / "target" / "release" / "patchtool", metavar="PATH")
    parser.add_argument("--cases", type=Path, default=REPOSITORY.parent / "shared" / "cases", metavar="FOLDER")
    parser.add_argument("--print", action="store_true", help="also print all that the data cases print")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these cases")
    arguments = parser.parse_args()
    patchtool = str(Path(arguments.patchtool).resolve())
    verdicts = []
    kinds = [("import", judge_import), ("data", judge_data), ("fuzz", judge_file)]
    for kind, judge in kinds:
        for case in sorted((arguments.cases / kind).glob("*")):
            is_case = kind == "fuzz" or (case / "expected.txt").exists()
            if not is_case or (arguments.names and case.name not in arguments.names):
                continue
            with tempfile.TemporaryDirectory() as temporary:
                verdict, words = judge(patchtool, case, Path(temporary))
                if arguments.print and (text := Path(temporary) / "text").exists():
                    print(text.read_text())
            verdicts.append(verdict)
            print(f"{verdict:5} {kind}/{case.name}: {words[:200]}", flush=True)
    print(f"{verdicts.count('right')} passed, {verdicts.count('WRONG')} failed, "
          f"{verdicts.count('shown')} shown")
    return 0 if verdicts and "WRONG" not in verdicts else 1


if __name__ == "__main__":
    sys.exit(main())
