// Tensors as the Open Inference Protocol has them: raw little-endian data, and what a person
// writes or shows of it.

const le = true;

// kinds are the datatypes: bytes of an element, how one is written and read, and the range of
// whole numbers.
const kinds = {
  BOOL: whole(1, 0, 1, "Uint8"), UINT8: whole(1, 0, 255, "Uint8"), INT8: whole(1, -128, 127, "Int8"),
  UINT16: whole(2, 0, 65535, "Uint16"), INT16: whole(2, -32768, 32767, "Int16"),
  UINT32: whole(4, 0, 4294967295, "Uint32"), INT32: whole(4, -2147483648, 2147483647, "Int32"),
  UINT64: long(0n, 2n ** 64n - 1n, "BigUint64"), INT64: long(-(2n ** 63n), 2n ** 63n - 1n, "BigInt64"),
  FP16: { size: 2, set: (v, at, x) => v.setUint16(at, toHalf(x), le), get: (v, at) => fromHalf(v.getUint16(at, le)) },
  FP32: { size: 4, set: (v, at, x) => v.setFloat32(at, x, le), get: (v, at) => v.getFloat32(at, le) },
  FP64: { size: 8, set: (v, at, x) => v.setFloat64(at, x, le), get: (v, at) => v.getFloat64(at, le) },
};

function whole(size, low, high, name) {
  return { size, low, high, set: (v, at, x) => v["set" + name](at, x, le), get: (v, at) => v["get" + name](at, le) };
}

function long(low, high, name) {
  return { size: 8, low, high, set: (v, at, x) => v["set" + name](at, BigInt(x), le), get: (v, at) => v["get" + name](at, le) };
}

export const isFloat = (datatype) => datatype.startsWith("FP");
export const elements = (shape) => shape.reduce((n, d) => n * d, 1);
export const bytesOf = (t) => elements(t.shape) * kinds[t.datatype].size;
export const shapeText = (shape) => "[" + shape.join(",") + "]";

// encode returns the bytes of numbers.
export function encode(datatype, values) {
  const kind = kinds[datatype], bytes = new Uint8Array(values.length * kind.size), view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) kind.set(view, i * kind.size, values[i]);
  return bytes;
}

// decode returns the numbers of bytes.
export function decode(datatype, bytes) {
  const kind = kinds[datatype], view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / kind.size }, (_, i) => kind.get(view, i * kind.size));
}

// parse reads the numbers of an input that a person wrote, in any brackets.
export function parse(t, text) {
  const words = text.split(/[\s,;[\]()]+/).filter((w) => w !== ""), want = elements(t.shape);
  if (words.length !== want) throw new Error(`${t.name} takes ${count(want, "number")}, and there ${words.length === 1 ? "is" : "are"} ${words.length}`);
  return words.map((word) => number(t, word));
}

function number(t, word) {
  const kind = kinds[t.datatype];
  if (isFloat(t.datatype)) {
    const special = { nan: NaN, inf: Infinity, "+inf": Infinity, "-inf": -Infinity }[word.toLowerCase()];
    const x = special ?? Number(word);
    if (special === undefined && !Number.isFinite(x)) throw new Error(`${t.name}: ${word} is no number`);
    return x;
  }
  const said = { true: "1", false: "0" }[word.toLowerCase()] ?? word;
  if (!/^[+-]?\d+$/.test(said) || BigInt(said) < kind.low || BigInt(said) > kind.high) throw new Error(`${t.name}: ${word} is no ${t.datatype}`);
  return kind.size === 8 ? BigInt(said) : Number(said);
}

// random returns numbers from 0 to 1, or zeros and ones where they are whole.
export function random(t) {
  return Array.from({ length: elements(t.shape) }, isFloat(t.datatype) ? Math.random : () => Math.round(Math.random()));
}

// picture says how an input can be a picture: its channels, size, and whether the channels come
// first; null if it cannot.
export function picture(t) {
  const s = t.shape.slice();
  while (s.length > 3 && s[0] === 1) s.shift();
  if (!isFloat(t.datatype) && t.datatype !== "UINT8") return null;
  const fits = (h, w) => h >= 8 && w >= 8 && h <= 4096 && w <= 4096;
  const channels = (c) => c === 1 || c === 3;
  if (s.length === 3 && channels(s[0]) && fits(s[1], s[2])) return { channels: s[0], height: s[1], width: s[2], first: true };
  if (s.length === 3 && channels(s[2]) && fits(s[0], s[1])) return { channels: s[2], height: s[0], width: s[1], first: false };
  if (s.length === 2 && fits(s[0], s[1])) return { channels: 1, height: s[0], width: s[1], first: true };
  return null;
}

// scales are what models take for the values 0 to 255 of a picture.
export const scales = {
  unit: { text: "0 to 1", of: (v) => v / 255 },
  signed: { text: "−1 to 1", of: (v) => v / 127.5 - 1 },
  imagenet: { text: "as ImageNet", of: (v, c) => (v / 255 - [0.485, 0.456, 0.406][c]) / [0.229, 0.224, 0.225][c] },
  bytes: { text: "0 to 255", of: (v) => v },
};

// pixels returns the numbers of a picture; rgba are its pixels as a canvas has them.
export function pixels(p, rgba, scale) {
  const area = p.width * p.height, values = new Array(area * p.channels), of = scales[scale].of;
  for (let i = 0; i < area; i++) {
    const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    const colours = p.channels === 3 ? [r, g, b] : [0.299 * r + 0.587 * g + 0.114 * b];
    for (let c = 0; c < p.channels; c++) values[p.first ? c * area + i : i * p.channels + c] = of(colours[c], c);
  }
  return values;
}

export const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

const float = new Float32Array(1), bits = new Uint32Array(float.buffer);

// toHalf rounds to the nearest FP16, to even between two.
function toHalf(x) {
  float[0] = x;
  const sign = (bits[0] >>> 16) & 0x8000, exponent = (bits[0] >>> 23) & 0xff, fraction = bits[0] & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction ? 0x200 : 0);
  const e = exponent - 112;
  if (e >= 31) return sign | 0x7c00;
  if (e < -10) return sign;
  const all = fraction | 0x800000, shift = e > 0 ? 13 : 14 - e, half = all >>> shift, rest = all & ((1 << shift) - 1), middle = 1 << (shift - 1);
  const rounded = half + (rest > middle || (rest === middle && half & 1) ? 1 : 0);
  return sign | (e > 0 ? rounded + ((e - 1) << 10) : rounded);
}

function fromHalf(h) {
  const sign = h & 0x8000 ? -1 : 1, exponent = (h >>> 10) & 31, fraction = h & 0x3ff;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
