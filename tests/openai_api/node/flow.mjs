// The documented flow by OpenAI's Node client. What it saw goes to stdout as one JSON object, which
// test_node.py judges. Arguments: base URL, token, input file, folder for files of its own.
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";

import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, input, folder] = process.argv.slice(2);
const calls = [];
const client = new OpenAI({
  baseURL,
  apiKey,
  timeout: 20_000,
  fetch: (url, init) => {
    calls.push(`${init.method} ${new URL(url).pathname}`);
    return fetch(url, init);
  },
});
const seen = {};

const upload = (file, more = {}) =>
  client.files.create({ file: fs.createReadStream(file), purpose: "batch", ...more });

const create = (file, more = {}) =>
  client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    ...more,
  });

async function ended(batch) {
  while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
    await sleep(100);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function lines(fileId) {
  if (fileId === null) return [];
  const text = await (await client.files.content(fileId)).text();
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

// What a call is refused with, as a program sees it, and how often it was sent.
async function refused(call) {
  const before = calls.length;
  try {
    await call();
  } catch (error) {
    const { status, type, code, param, requestID, message } = error;
    const kind = error.constructor.name;
    return { kind, status, type, code, param, requestID, message, sent: calls.length - before };
  }
  return null;
}

// upload → create → poll → download
const file = await upload(input, { expires_after: { anchor: "created_at", seconds: 7200 } });
seen.file = { ...file, requestID: file._request_id };
seen.processed = (await client.files.waitForProcessing(file.id)).status;
seen.sameBytes = Buffer.from(await (await client.files.content(file.id)).arrayBuffer()).equals(
  fs.readFileSync(input),
);
const created = await create(file, {
  metadata: { project: "moon" },
  output_expires_after: { anchor: "created_at", seconds: 3600 },
});
seen.created = { ...created, requestID: created._request_id };
seen.done = await ended(created);
seen.output = await lines(seen.done.output_file_id);
seen.errors = await lines(seen.done.error_file_id);
seen.outputFile = await client.files.retrieve(seen.done.output_file_id);

// a faulty file
const bad = path.join(folder, "bad.jsonl");
fs.writeFileSync(bad, "{no json\n");
seen.failed = await ended(await create(await upload(bad)));

// pages of lists
const ids = (page) => page.map((item) => item.id);
for (let n = 0; n < 5; n++) await upload(bad);
const everyFile = [];
for await (const each of client.files.list({ limit: 2, order: "asc", purpose: "batch" })) {
  everyFile.push(each);
}
seen.files = ids(everyFile);
const everyBatch = [];
for await (const each of client.batches.list({ limit: 1 })) everyBatch.push(each);
seen.batches = ids(everyBatch);
seen.models = ids((await client.models.list()).data);
seen.model = await client.models.retrieve("good");

// cancel: lines for "slow" take their time, one by one
const held = path.join(folder, "held.jsonl");
fs.writeFileSync(held, fs.readFileSync(input, "utf8").replaceAll('"good"', '"slow"'));
let stopped = await create(await upload(held));
while (stopped.status === "validating") {
  await sleep(50);
  stopped = await client.batches.retrieve(stopped.id);
}
seen.cancelling = await client.batches.cancel(stopped.id);
seen.cancelled = await ended(seen.cancelling);
seen.kept = await lines(seen.cancelled.output_file_id);
seen.neverSent = await lines(seen.cancelled.error_file_id);

// what is refused
seen.refused = {
  unknownBatch: await refused(() => client.batches.retrieve("batch_999")),
  unknownFile: await refused(() => client.files.content("file-999")),
  unknownModel: await refused(() => client.models.retrieve("org/unheard-of")),
  cancelTwice: await refused(() => client.batches.cancel(seen.done.id)),
  endpoint: await refused(() => create(file, { endpoint: "/v1/videos" })),
  noJsonl: await refused(() => upload(process.argv[1])),
  token: await refused(() => client.withOptions({ apiKey: "sb-wrong" }).batches.list()),
};

// the first file from memory, without a name
const bytes = fs.readFileSync(input);
seen.nameless = {};
for (const [kind, given] of Object.entries({
  buffer: toFile(bytes),
  array: toFile(new Uint8Array(bytes)),
  blob: toFile(new Blob([bytes])),
  gzip: toFile(gzipSync(bytes), "in.jsonl.gz"),
})) {
  const made = await client.files.create({ file: await given, purpose: "batch" });
  const ran = await ended(await create(made));
  const answered = (await lines(ran.output_file_id)).length;
  const back = Buffer.from(await (await client.files.content(made.id)).arrayBuffer());
  const same = made.bytes === back.length && (kind === "gzip" ? gunzipSync(back) : back).equals(bytes);
  seen.nameless[kind] = { filename: made.filename, status: ran.status, answered, same };
}

// deletion
seen.deleted = await client.files.delete(file.id);
seen.gone = await refused(() => client.files.retrieve(file.id));

console.log(JSON.stringify(seen));
