//! `patchtool device info`.

use std::fmt::Write as _;

use anyhow::Result;
use graft_client::{Client, Device, Ended, Memory, State, Task, patch_metadata};
use graft_patches::Digest;
use graft_patches::signature::KeyId;
use serde_json::{Value, json};

use super::{learn, task_name};
use crate::commands::arguments::Line;
use crate::report::{Report, Table, bytes};

/// Shows what the device is, its slots and its memory.
pub(super) fn run(line: &Line) -> Result<Report> {
    let mut client = line.connect()?;
    let device = client.device()?;
    let memory = client.memory()?;
    let slots = (0..device.slots)
        .map(|slot| slot_json(&mut client, slot))
        .collect::<Result<Vec<_>>>()?;
    let [height, width, channels] = device.input;
    let mut text = format!(
        "{}, firmware {}, {} kernels\nbackbone {}, input {height}x{width}x{channels}\n",
        device.board, device.firmware, device.kernels, device.backbone,
    );
    writeln!(
        text,
        "serving {}, active {}, on trial {}, before {}; record {}, {} frames",
        task_name(device.serving),
        task_name(device.active),
        device
            .trial
            .map_or("none".into(), |slot| task_name(Task::Slot(slot))),
        device.previous.map_or("none".into(), task_name),
        device.sequence,
        device.frames,
    )?;
    writeln!(text, "{}", trust(&device))?;
    if let Some(ended) = device.ended {
        writeln!(text, "went back: {}", reason(ended))?;
    }
    write!(text, "\n{}", slot_table(&slots))?;
    write!(text, "\n{}", memory_table(&memory))?;
    let (taught, learner) = learn::described(&mut client)?;
    if !taught.is_empty() {
        write!(text, "\n{taught}")?;
    }
    let mut json = report(&device, &memory, &slots);
    json["learner"] = learner;
    Ok(Report::new(text, json))
}

fn trust(device: &Device) -> String {
    if device.keys.is_empty() {
        return "trusts whoever sends a patch".into();
    }
    let keys: Vec<String> = device.keys.iter().map(KeyId::to_string).collect();
    let [found, most] = device.counters;
    format!(
        "trusts what is signed with {}; counters of {found} tasks, room for {most}",
        keys.join(" or ")
    )
}

fn report(device: &Device, memory: &Memory, slots: &[Value]) -> Value {
    json!({
        "board": device.board,
        "firmware": device.firmware,
        "kernels": device.kernels,
        "backbone": device.backbone.to_string(),
        "input": device.input,
        "slot_bytes": device.slot_len,
        "page_bytes": device.page_len,
        "serving": task_name(device.serving),
        "active": task_name(device.active),
        "trial": device.trial,
        "previous": device.previous.map(task_name),
        "ended": device.ended.map(reason),
        "sequence": device.sequence,
        "frames": device.frames,
        "ticks_per_second": device.ticks_per_second,
        "counters": device.counters[0],
        "most_counters": device.counters[1],
        "keys": device.keys.iter().map(KeyId::to_string).collect::<Vec<_>>(),
        "memory": {
            "code": memory.code,
            "backbone": memory.backbone,
            "statics": memory.statics,
            "arena": memory.arena,
            "arena_used": memory.arena_used,
            "stack": memory.stack,
            "stack_used": memory.stack_used,
        },
        "slots": slots,
    })
}

fn slot_json(client: &mut Client, index: u8) -> Result<Value> {
    let slot = client.slot(index)?;
    let mut json = json!({ "slot": index, "state": state(slot.state) });
    if slot.state != State::Empty {
        let metadata = patch_metadata(client, index)?;
        json["bytes"] = json!(slot.length);
        json["digest"] = json!(Digest(slot.digest).to_string());
        json["has_answer"] = json!(slot.has_answer);
        json["signed_by"] = json!(slot.signed.map(|signed| KeyId(signed.key).to_string()));
        json["counter"] = json!(slot.signed.map(|signed| signed.counter));
        json["name"] = json!(metadata.name);
        json["labels"] = json!(metadata.labels);
    }
    Ok(json)
}

fn slot_table(slots: &[Value]) -> Table {
    let mut table = Table::new(&[
        "slot",
        "state",
        "bytes",
        "digest",
        "answer",
        "name",
        "labels",
        "signed by",
        "counter",
    ]);
    for slot in slots {
        let text = |key: &str| slot[key].as_str().unwrap_or_default();
        let labels = slot["labels"]
            .as_array()
            .map(|labels| labels.len().to_string());
        let answer = slot["has_answer"].as_bool();
        table.row([
            slot["slot"].to_string(),
            text("state").into(),
            slot["bytes"]
                .as_u64()
                .map_or(String::new(), |count| count.to_string()),
            text("digest").chars().take(12).collect(),
            answer
                .map_or("", |has| if has { "yes" } else { "no" })
                .into(),
            text("name").into(),
            labels.unwrap_or_default(),
            text("signed_by").into(),
            slot["counter"]
                .as_u64()
                .map_or(String::new(), |counter| counter.to_string()),
        ]);
    }
    table
}

fn memory_table(memory: &Memory) -> Table {
    let mut table = Table::new(&["memory", "reserved", "used"]);
    let size = |count: u32| bytes(count as usize);
    table.row(["code, flash".into(), size(memory.code), String::new()]);
    table.row([
        "backbone, flash".into(),
        size(memory.backbone),
        String::new(),
    ]);
    table.row(["statics".into(), size(memory.statics), String::new()]);
    table.row([
        "of them arena".into(),
        size(memory.arena),
        size(memory.arena_used),
    ]);
    table.row(["stack".into(), size(memory.stack), size(memory.stack_used)]);
    table
}

fn state(state: State) -> &'static str {
    match state {
        State::Empty => "empty",
        State::Written => "written",
        State::Trial => "trial",
        State::Good => "good",
    }
}

fn reason(ended: Ended) -> &'static str {
    match ended {
        Ended::Asked => "the host asked",
        Ended::Reset => "a reset came before the patch was confirmed",
        Ended::SelfCheck => "the patch failed its self-check",
        Ended::Damaged => "the patch is damaged",
    }
}
