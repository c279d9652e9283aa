// Asks the YAML language server what an editor would: what is wrong in a file, and what may stand at a place.
//
//   node ask.mjs FOLDER-WITH-NODE_MODULES < questions.json
//
// A question is {file, text, at: [line, character] or null}; its answer {problems: [{line, message}],
// offers: [label], hover: text}. Files need not exist, their schemas must.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const questions = JSON.parse(readFileSync(0, "utf8"));
const server = spawn(process.execPath, [
  join(process.argv[2], "node_modules/yaml-language-server/bin/yaml-language-server"),
  "--stdio",
]);
server.stderr.pipe(process.stderr);

const waiting = new Map();
const diagnostics = new Map();
let buffer = Buffer.alloc(0);
let next = 1;

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
  server.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
  server.stdin.write(body);
}

function ask(method, params) {
  const id = next++;
  send({ id, method, params });
  return new Promise((resolve) => waiting.set(id, resolve));
}

const settings = {
  "[yaml]": {},
  yaml: { validate: true, completion: true, hover: true, schemaStore: { enable: false }, schemas: {} },
};

function receive(message) {
  if (message.method === "workspace/configuration") {
    const result = message.params.items.map((item) => settings[item.section] ?? null);
    send({ id: message.id, result });
  } else if (message.method === "textDocument/publishDiagnostics") {
    diagnostics.get(message.params.uri)?.(message.params.diagnostics);
  } else if (message.method && message.id !== undefined) {
    send({ id: message.id, result: null });
  } else if (waiting.has(message.id)) {
    waiting.get(message.id)(message.result ?? null);
    waiting.delete(message.id);
  }
}

server.stdout.on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.toString("utf8", 0, end))[1]);
    if (buffer.length < end + 4 + length) return;
    const body = buffer.toString("utf8", end + 4, end + 4 + length);
    buffer = buffer.subarray(end + 4 + length);
    receive(JSON.parse(body));
  }
});

await ask("initialize", {
  processId: process.pid,
  rootUri: null,
  capabilities: {
    workspace: { configuration: true },
    textDocument: { completion: { completionItem: { snippetSupport: false } } },
  },
});
send({ method: "initialized", params: {} });
send({ method: "workspace/didChangeConfiguration", params: { settings } });

const answers = [];
for (const { file, text, at } of questions) {
  const uri = pathToFileURL(file).href;
  const found = new Promise((resolve) => diagnostics.set(uri, resolve));
  send({
    method: "textDocument/didOpen",
    params: { textDocument: { uri, languageId: "yaml", version: 1, text } },
  });
  const answer = { problems: [], offers: [], hover: "" };
  for (const { range, message } of await found) {
    answer.problems.push({ line: range.start.line + 1, message });
  }
  if (at) {
    const place = { textDocument: { uri }, position: { line: at[0], character: at[1] } };
    const offers = await ask("textDocument/completion", place);
    answer.offers = (offers?.items ?? offers ?? []).map((item) => item.label);
    const hover = await ask("textDocument/hover", place);
    answer.hover = hover?.contents?.value ?? "";
  }
  send({ method: "textDocument/didClose", params: { textDocument: { uri } } });
  answers.push(answer);
}
console.log(JSON.stringify(answers));
server.kill();
process.exit(0);
