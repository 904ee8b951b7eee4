// Elements of the page, whose contents are text.

export const byID = (id) => document.getElementById(id);

// el makes an element with attributes; children are elements or text.
export function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// milliseconds shows a number of microseconds, and its unit.
export function milliseconds(us) {
  if (us === undefined) return ["–"];
  const ms = us / 1000;
  return [ms === 0 ? "0" : ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2), "ms"];
}
