// Infers over HTTP with fetch, as Node and browsers have it: tensors as raw bytes behind JSON.

const arrays = {
  INT8: Int8Array, UINT8: Uint8Array, BOOL: Uint8Array, INT16: Int16Array, UINT16: Uint16Array, INT32: Int32Array,
  UINT32: Uint32Array, INT64: BigInt64Array, UINT64: BigUint64Array, FP32: Float32Array, FP64: Float64Array,
};

// infer sends {name: {datatype, shape, data}}, where data is a typed array, and returns the
// outputs in the same form, and the answer's parameters. It throws what the server refuses.
export async function infer(url, model, inputs, sloMS) {
  const list = Object.entries(inputs);
  const head = new TextEncoder().encode(JSON.stringify({
    parameters: { slo_ms: sloMS, binary_data_output: true },
    inputs: list.map(([name, t]) => ({ name, datatype: t.datatype, shape: t.shape, parameters: { binary_data_size: t.data.byteLength } })),
  }));
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(head.length) },
    body: new Blob([head, ...list.map(([, t]) => t.data)]),
  });
  if (!response.ok) throw Object.assign(new Error("refused"), await response.json());
  const body = await response.arrayBuffer();
  let from = Number(response.headers.get("Inference-Header-Content-Length"));
  const answer = JSON.parse(new TextDecoder().decode(body.slice(0, from)));
  const outputs = {};
  for (const { name, datatype, shape, parameters } of answer.outputs) {
    const to = from + parameters.binary_data_size;
    outputs[name] = { datatype, shape, data: new arrays[datatype](body.slice(from, to)) };
    from = to;
  }
  return { outputs, parameters: answer.parameters };
}

if (globalThis.process) {
  const url = process.argv[2] ?? "http://127.0.0.1:8000";
  const row = (...numbers) => ({ datatype: "INT32", shape: [1, 4], data: Int32Array.from(numbers) });
  const inputs = { INPUT0: row(1, 2, 3, 4), INPUT1: row(10, 20, 30, 40) };
  const { outputs, parameters } = await infer(url, "simple", inputs, 1000);
  for (const [name, t] of Object.entries(outputs)) console.log(`${name}: [${t.data.join(", ")}]`);
  console.log(`after ${parameters.latency_us / 1000} ms, of which ${parameters.exec_us / 1000} ms on ${parameters.worker}`);
  try {
    await infer(url, "simple", inputs, 0.001);
  } catch (refusal) {
    console.log(`within 1 us: ${refusal.code}: ${refusal.message}`);
  }
}
