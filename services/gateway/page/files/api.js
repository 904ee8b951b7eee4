// What the page asks of the gateway: its own data, and inference as every client has it.

import { bytesOf, decode, elements, encode, shapeText } from "./tensor.js";

const at = (path) => new URL(path, document.baseURI);

// The token that a gateway with tenants asks for stays in this tab of the browser.
let token = sessionStorage.getItem("token") ?? "";

export function useToken(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

const authorized = (headers = {}) => (token ? { ...headers, Authorization: `Bearer ${token}` } : headers);

// json returns an answer's object, or throws what the gateway says.
async function json(response) {
  const body = await response.json().catch(() => ({ error: `the answer (${response.status}) cannot be read` }));
  if (!response.ok) throw Object.assign(new Error(body.message || body.error), { refusal: body, status: response.status });
  return body;
}

export const live = () => fetch(at("page/live"), { headers: authorized() }).then(json);
export const models = (find) => fetch(at("page/models?find=" + encodeURIComponent(find)), { headers: authorized() }).then(json);
export const inferURL = (model) => at(`v2/models/${model.name}/infer`).href;

// shapeOf is the shape of one item as a request has it.
export const shapeOf = (model, t) => (model.no_batch ? t.shape : [1, ...t.shape]);

// infer sends numbers for each input, and returns outputs with their numbers, and parameters.
export async function infer(model, values, slo) {
  const data = model.inputs.map((t, i) => encode(t.datatype, values[i]));
  const head = JSON.stringify({
    parameters: { binary_data_output: true, ...(slo ? { slo_ms: slo } : {}) },
    inputs: model.inputs.map((t, i) => ({ name: t.name, datatype: t.datatype, shape: shapeOf(model, t), parameters: { binary_data_size: data[i].length } })),
  });
  const json0 = new TextEncoder().encode(head), begun = performance.now();
  const response = await fetch(inferURL(model), {
    method: "POST", body: new Blob([json0, ...data]),
    headers: authorized({ "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(json0.length) }),
  });
  if (!response.ok) return json(response);
  const body = new Uint8Array(await response.arrayBuffer()), took = performance.now() - begun;
  let from = Number(response.headers.get("Inference-Header-Content-Length") ?? body.length);
  const answer = JSON.parse(new TextDecoder().decode(body.subarray(0, from)));
  for (const out of answer.outputs) {
    const size = out.parameters.binary_data_size;
    out.values = decode(out.datatype, body.slice(from, from + size));
    from += size;
  }
  return { ...answer, took };
}

// quoted is a word of a shell.
const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

// mostInJSON is how many numbers a curl has in its JSON at most.
const mostInJSON = 48;

// curl is what a shell sends to a model: numbers in JSON if they are few, else raw data.
export function curl(model) {
  const url = quoted(inferURL(model)) + (token ? ' -H "Authorization: Bearer $TOKEN"' : "");
  if (model.inputs.reduce((n, t) => n + elements(t.shape), 0) <= mostInJSON) {
    const inputs = model.inputs.map((t) => ({ name: t.name, datatype: t.datatype, shape: shapeOf(model, t), data: Array(elements(t.shape)).fill(t.datatype === "BOOL" ? false : 0) }));
    return `curl ${url} \\\n  -d ${quoted(JSON.stringify({ inputs }))}`;
  }
  const bytes = model.inputs.reduce((n, t) => n + bytesOf(t), 0);
  const what = model.inputs.map((t) => `${t.datatype}${shapeText(t.shape)}`).join(", then ");
  return `# input.bin: ${what}, little-endian; here zeros\nhead -c ${bytes} /dev/zero > input.bin\ncurl ${url} \\\n  -H 'Inference-Header-Content-Length: 0' \\\n  --data-binary @input.bin --output output.bin`;
}
