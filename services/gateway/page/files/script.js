// The page: figures, the list of models, and one model with a form. Whatever comes from the
// gateway is written as text.

import { curl, infer, live, models, useToken } from "./api.js";
import { count, elements, isFloat, parse, picture, pixels, random, scales, shapeText } from "./tensor.js";
import { showAnswer, showError } from "./answer.js";
import { byID, el, milliseconds } from "./dom.js";

// --- Figures ---

const history = Array(60).fill(0);

async function refresh() {
  try {
    const f = await live();
    showStatus(f.ready ? "ready" : "unready", f.ready ? "serving" : f.why);
    showFigures(f);
    byID("token-form").hidden = true;
  } catch (e) {
    if (e.status === 401) byID("token-form").hidden = false;
    showStatus("unready", e.refusal ? e.message : "the gateway does not answer");
  }
}

function showStatus(kind, text) {
  byID("status").className = "status " + kind;
  if (byID("status-text").textContent !== text) byID("status-text").textContent = text;
}

function showFigures(f) {
  const all = f.served + f.missed, rate = (all + (f.wrong ?? 0)) / Math.max(1, f.span_ms / 1000);
  const set = (id, value, unit = "") => byID(id).replaceChildren(value, unit && el("small", {}, unit));
  set("rate", rate >= 100 ? Math.round(rate).toLocaleString("en") : rate.toFixed(1));
  set("share", all ? (Math.floor((1000 * f.served) / all) / 10).toFixed(1) : "–", all ? "%" : "");
  set("p50", ...milliseconds(f.p50_us || undefined));
  set("p99", ...milliseconds(f.p99_us || undefined));
  set("in-flight", String(f.in_flight));
  set("gpus", String(f.gpus));
  byID("version").textContent = f.version;
  history.push(rate);
  history.shift();
  const most = Math.max(1, ...history), points = history.map((v, i) => `${((i * 240) / 59).toFixed(1)} ${(42 - (38 * v) / most).toFixed(1)}`).join("L");
  document.querySelector("#history .line").setAttribute("d", "M" + points);
  document.querySelector("#history .area").setAttribute("d", `M0 44L${points}L240 44Z`);
}

// --- The list of models ---

let listed = [], chosen = null, searches = 0;

async function search() {
  const mine = ++searches;
  let list;
  try {
    list = await models(byID("find").value.trim());
  } catch (e) {
    byID("more").hidden = false;
    byID("more").textContent = e.refusal ? e.message : "The models cannot be read.";
    return;
  }
  if (mine !== searches) return; // a later search was faster
  listed = list.models;
  byID("found").textContent = list.found === list.total ? String(list.total) : `${list.found} of ${list.total}`;
  byID("models").replaceChildren(...listed.map((m) => el("li", {}, el("a", { href: "#" + encodeURIComponent(m.name) }, m.name, el("span", {}, inputText(m))))));
  byID("more").hidden = list.found > 0 && list.found <= listed.length;
  byID("more").textContent = list.total === 0 ? "No model is served yet. Load one: clockwork load PATH" : list.found === 0 ? "None has this name." : `and ${list.found - listed.length} more; find them by name`;
  choose();
}

const inputText = (m) => (m.inputs.length === 1 ? m.inputs[0].datatype + shapeText(m.inputs[0].shape) : count(m.inputs.length, "input"));

// choose shows the model that the address names, or the first.
async function choose() {
  let name = "";
  try {
    name = decodeURIComponent(location.hash.slice(1));
  } catch { /* no name */ }
  let model = listed.find((m) => m.name === name);
  if (!model && name && name !== "main" && name !== "model") model = (await models(name).catch(() => ({ models: [] }))).models.find((m) => m.name === name);
  model ??= chosen ?? listed[0];
  for (const a of document.querySelectorAll("#models a")) {
    if (model && a.firstChild.textContent === model.name) a.setAttribute("aria-current", "true");
    else a.removeAttribute("aria-current");
  }
  if (model && JSON.stringify(model) !== JSON.stringify(chosen)) showModel(model);
}

// --- One model ---

function showModel(model) {
  chosen = model;
  document.title = model.name + " · Clockwork";
  const batch = model.no_batch ? "no batch dimension" : model.max_batch === 1 ? "one item a request" : `up to ${model.max_batch} items a request`;
  const rows = (kind, list) => list.map((t) => el("tr", {}, el("td", {}, kind), el("td", { class: "mono" }, t.name), el("td", { class: "mono" }, t.datatype), el("td", { class: "mono" }, shapeText(model.no_batch ? t.shape : [model.max_batch === 1 ? 1 : "N", ...t.shape]))));
  byID("model").replaceChildren(
    el("h2", {}, model.name),
    el("p", { class: "facts" }, `version ${model.version}, ${batch}`),
    el("table", { class: "below" }, el("thead", {}, el("tr", {}, ...["", "name", "type", "shape"].map((t) => el("th", { scope: "col" }, t)))), el("tbody", {}, ...rows("input", model.inputs), ...rows("output", model.outputs))),
    ...(model.notes ? [el("details", {}, el("summary", {}, `${count(model.notes.length, "setting")} of its configuration changed nothing`), ...model.notes.map((n) => el("p", {}, n)))] : []),
    el("h3", {}, "Try it"), form(model),
    el("h3", {}, "From a shell"), command(curl(model)),
  );
}

function command(text) {
  const button = el("button", { type: "button", id: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(byID("curl"));
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return el("div", { class: "curl" }, el("pre", { id: "curl", tabindex: "0", "aria-label": "curl command" }, text), button);
}

// form asks for a value of each input, and shows the answer below.
function form(model) {
  const fields = model.inputs.map((t, i) => field(t, i));
  const slo = el("input", { type: "number", id: "slo", min: "0.1", step: "any", placeholder: "the gateway's" });
  const send = el("button", { class: "main", id: "send" }, "Infer"), answer = el("div", { id: "answer", "aria-live": "polite" });
  const node = el("form", { id: "form", novalidate: "" }, ...fields.map((f) => f.node), el("div", { class: "row" }, el("label", { class: "short" }, el("span", {}, "Deadline in ms"), slo), send), answer);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      const values = fields.map((f) => f.values());
      showAnswer(answer, await infer(model, values, Number(slo.value)));
    } catch (e) {
      showError(answer, e);
    }
    send.disabled = false;
  });
  return node;
}

// mostWritten is how many numbers a person may write into a field.
const mostWritten = 4096;

// field asks for the value of one input: a picture, numbers, or numbers made up.
function field(t, i) {
  const p = picture(t), n = elements(t.shape), ways = {};
  if (p) ways.picture = pictureField(t, p, i);
  if (n <= mostWritten) ways.numbers = numbersField(t, n, i);
  ways.random = { text: "random numbers", node: el("p", { class: "quiet below" }, `${count(n, "number")}, other ones each time`), values: () => random(t) };
  ways.zeros = { text: "zeros", node: el("p", { class: "quiet below" }, count(n, "zero")), values: () => Array(n).fill(0) };
  const choice = el("select", { id: `way-${i}` }, ...Object.entries(ways).map(([id, way]) => el("option", { value: id }, way.text)));
  const place = el("div", {});
  const show = () => place.replaceChildren(ways[choice.value].node);
  choice.value = p ? "picture" : n <= 64 ? "numbers" : "random";
  choice.addEventListener("change", show);
  show();
  const node = el("fieldset", {}, el("legend", {}, t.name + " ", el("span", {}, t.datatype + shapeText(t.shape))), el("label", {}, el("span", {}, "Value"), choice), place);
  return { node, values: () => ways[choice.value].values() };
}

function numbersField(t, n, i) {
  const area = el("textarea", { id: `numbers-${i}`, spellcheck: "false", rows: n > 16 ? "6" : "2" });
  area.value = n <= 64 ? Array(n).fill(isFloat(t.datatype) ? "0.5" : "0").join(" ") : "";
  return { text: "numbers", values: () => parse(t, area.value), node: el("label", { class: "below" }, el("span", {}, `${count(n, "number")}, the last dimension first to change`), area) };
}

function pictureField(t, p, i) {
  const file = el("input", { type: "file", id: `file-${i}`, accept: "image/*" });
  const scale = el("select", { id: `scale-${i}` }, ...Object.entries(scales).map(([id, s]) => el("option", { value: id }, s.text)));
  if (!isFloat(t.datatype)) scale.replaceChildren(el("option", { value: "bytes" }, scales.bytes.text));
  const canvas = el("canvas", { width: p.width, height: p.height, hidden: "", role: "img", "aria-label": "the picture as the model gets it" });
  const note = el("p", { class: "quiet below" }, `It is scaled to ${p.width} × ${p.height} in ${p.channels === 3 ? "colour" : "grey"}, here in the browser.`);
  let ready = false;
  file.addEventListener("change", async () => {
    ready = false;
    try {
      const bitmap = await createImageBitmap(file.files[0]);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.fillStyle = "white"; // where the picture is transparent
      context.fillRect(0, 0, p.width, p.height);
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, p.width, p.height);
      canvas.hidden = false;
      ready = true;
    } catch {
      canvas.hidden = true;
      note.textContent = "The browser cannot read this file as a picture.";
    }
  });
  return {
    text: "a picture",
    node: el("div", { class: "below" }, el("div", { class: "row" }, el("label", {}, el("span", {}, "File"), file), el("label", { class: "short" }, el("span", {}, "Values"), scale)), canvas, note),
    values() {
      if (!ready) throw new Error(`${t.name}: choose a picture, or another value`);
      return pixels(p, canvas.getContext("2d").getImageData(0, 0, p.width, p.height).data, scale.value);
    },
  };
}

// --- Start ---

byID("address").textContent = new URL(".", document.baseURI).href.replace(/\/$/, "");
byID("find").addEventListener("input", search);
byID("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byID("token").value.trim());
  byID("token").value = "";
  refresh();
  search();
});
addEventListener("hashchange", choose);
await Promise.all([refresh(), search()]);
setInterval(() => document.hidden || refresh(), 1000);
setInterval(() => document.hidden || search(), 5000);
