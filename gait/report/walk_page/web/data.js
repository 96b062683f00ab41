// The data of the page: JSON, and the arrays that it refers to. docs/walk_page.md describes both.

const ARRAY_TYPES = {
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int8: Int8Array, int16: Int16Array, int32: Int32Array,
};

/** Read the data of this page. */
function readData() {
  const data = JSON.parse(document.getElementById("walk-data").textContent);
  const arrays = document.getElementById("walk-arrays"), text = atob(arrays.textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  Object.defineProperty(data, "buffer", { value: inflate(bytes, Number(arrays.dataset.bytes)).buffer });
  return data;
}

/** Return an array by its reference: integers, or numbers (Float32Array, NaN where missing) if it has a scale. */
function readArray(data, reference) {
  const count = reference.shape.reduce((product, size) => product * size, 1);
  const Type = ARRAY_TYPES[reference.type];
  const integers = new Type(data.buffer, reference.at, count).slice();
  if (reference.delta) {
    const columns = reference.shape.slice(1).reduce((product, size) => product * size, 1);
    for (let i = columns; i < count; i++) integers[i] += integers[i - columns];
  }
  if (reference.scale === undefined) return integers;
  const { scale, offset = 0, missing } = reference;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = integers[i] === missing ? NaN : integers[i] * scale + offset;
  return values;
}
