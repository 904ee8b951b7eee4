// What a model answered: where the time went, and its outputs.

import { count, isFloat, shapeText } from "./tensor.js";
import { el, milliseconds } from "./dom.js";

// parts of a request's time, by the names of the answer's parameters.
const parts = [["scheduler_us", "scheduling"], ["queue_us", "worker's queue"], ["input_us", "input copy"], ["exec_us", "execution"], ["output_us", "output copy"]];

export function showAnswer(place, answer) {
  const p = answer.parameters, rest = p.latency_us - parts.reduce((sum, [key]) => sum + (p[key] ?? 0), 0);
  const all = [...parts.map(([key, name], i) => ({ us: p[key] ?? 0, name, part: i + 1 })), { us: Math.max(0, rest), name: "on the way", part: 6 }];
  const bar = el("div", { class: "bar", "aria-hidden": "true" }, ...all.filter((a) => a.us > 0).map((a) => grown(el("span", { class: `part-${a.part}` }), a.us)));
  place.replaceChildren(
    el("p", { class: "answered" }, el("strong", {}, milliseconds(p.latency_us).join(" ")), ` on worker ${p.worker}`, p.cold_start ? ", weights loaded for this request" : "", el("span", { class: "quiet" }, ` · ${milliseconds(1000 * answer.took).join(" ")} seen from here`)),
    bar,
    el("ul", { class: "parts" }, ...all.map((a) => el("li", { class: `part-${a.part}` }, `${a.name} ${milliseconds(a.us).join(" ")}`))),
    ...answer.outputs.flatMap(output),
  );
}

// grown has a part of a bar as wide as its value. The page's policy forbids styles in markup, not
// those of a script.
function grown(node, value) {
  node.style.flexGrow = value;
  return node;
}

// shownValues bounds the values that are shown of an output, top those with the highest.
const shownValues = 48, top = 5;

function output(out) {
  const heading = el("h3", {}, out.name + " ", el("span", { class: "quiet mono" }, out.datatype + shapeText(out.shape)));
  const list = el("p", { class: "values" }, out.values.slice(0, shownValues).map(shown).join("  ") + (out.values.length > shownValues ? `  … ${count(out.values.length, "value")}` : ""));
  return isFloat(out.datatype) && out.values.length > top ? [heading, highest(out.values), list] : [heading, list];
}

// highest shows where the highest values are: for a classifier, its answer.
function highest(values) {
  const order = [];
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i]) || (order.length === top && values[i] <= values[order[top - 1]])) continue;
    order.push(i);
    order.sort((a, b) => values[b] - values[a]);
    order.length = Math.min(order.length, top);
  }
  const most = Math.max(...order.map((i) => Math.abs(values[i])), 1e-30);
  const row = (i) => el("tr", {}, el("td", { class: "mono" }, String(i)), el("td", {}, el("meter", { min: 0, max: 1, value: Math.max(0, values[i] / most), "aria-hidden": "true" })), el("td", { class: "number mono" }, shown(values[i])));
  return el("table", { class: "top" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "index"), el("th", { scope: "col" }, "highest values"), el("th", { scope: "col", class: "number" }, "value"))), el("tbody", {}, ...order.map(row)));
}

function shown(v) {
  if (typeof v === "bigint" || Number.isInteger(v)) return String(v);
  return Math.abs(v) >= 1e5 || Math.abs(v) < 1e-4 ? v.toExponential(3) : String(Number(v.toPrecision(5)));
}

export function showError(place, error) {
  const r = error.refusal, lines = [];
  if (r?.earliest_ms) lines.push(`It could be done after ${r.earliest_ms.toFixed(1)} ms; the deadline allows ${r.budget_ms} ms.`);
  place.replaceChildren(el("div", { class: "error", role: "alert" }, el("strong", {}, r?.code ?? "Not sent"), error.message, ...lines.map((l) => el("div", {}, l))));
}
