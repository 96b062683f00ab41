// Decompresses zlib streams (RFC 1950, 1951) at once: a page is drawn before the browser says that it is loaded.

const LONGEST_CODE = 15; // bits
const LENGTHS = { first: [], extra: [] }; // of repeated bytes, by symbol - 257
const DISTANCES = { first: [], extra: [] }; // back to them, by symbol
for (let symbol = 0, first = 3; symbol < 28; symbol++) {
  LENGTHS.extra.push(symbol < 8 ? 0 : (symbol >> 2) - 1);
  LENGTHS.first.push(first);
  first += 1 << LENGTHS.extra[symbol];
}
LENGTHS.extra.push(0);
LENGTHS.first.push(258);
for (let symbol = 0, first = 1; symbol < 30; symbol++) {
  DISTANCES.extra.push(symbol < 4 ? 0 : (symbol >> 1) - 1);
  DISTANCES.first.push(first);
  first += 1 << DISTANCES.extra[symbol];
}
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Return the `size` bytes that a zlib stream holds. */
function inflate(stream, size) {
  const output = new Uint8Array(size);
  let written = 0, position = 2, bits = 0, count = 0; // after the header; bits that are read but not used, and their number

  function take(number) {
    while (count < number) {
      bits |= stream[position++] << count;
      count += 8;
    }
    const value = bits & ((1 << number) - 1);
    bits >>>= number;
    count -= number;
    return value;
  }

  function takeSymbol(table) {
    while (count < LONGEST_CODE) {
      bits |= stream[position++] << count;
      count += 8;
    }
    const entry = table[bits & ((1 << LONGEST_CODE) - 1)];
    bits >>>= entry & 15;
    count -= entry & 15;
    return entry >> 4;
  }

  function copyBlock() {
    position -= count >> 3;
    bits = count = 0;
    const length = stream[position] | (stream[position + 1] << 8);
    output.set(stream.subarray(position + 4, position + 4 + length), written);
    position += 4 + length;
    written += length;
  }

  function expandBlock(symbols, distances) {
    for (let symbol = takeSymbol(symbols); symbol !== 256; symbol = takeSymbol(symbols)) {
      if (symbol < 256) {
        output[written++] = symbol;
        continue;
      }
      const length = LENGTHS.first[symbol - 257] + take(LENGTHS.extra[symbol - 257]);
      const back = takeSymbol(distances), from = written - DISTANCES.first[back] - take(DISTANCES.extra[back]);
      for (let k = 0; k < length; k++) output[written++] = output[from + k];
    }
  }

  function readTables() {
    const numSymbols = take(5) + 257, numDistances = take(5) + 1, numLengths = take(4) + 4;
    const ofLengths = new Uint8Array(19), lengths = new Uint8Array(numSymbols + numDistances);
    for (let k = 0; k < numLengths; k++) ofLengths[CODE_LENGTH_ORDER[k]] = take(3);
    const table = codeTable(ofLengths);
    for (let k = 0; k < lengths.length;) {
      const symbol = takeSymbol(table);
      if (symbol < 16) lengths[k++] = symbol;
      else {
        const value = symbol === 16 ? lengths[k - 1] : 0;
        const times = symbol === 16 ? 3 + take(2) : symbol === 17 ? 3 + take(3) : 11 + take(7);
        lengths.fill(value, k, k + times);
        k += times;
      }
    }
    return [codeTable(lengths.subarray(0, numSymbols)), codeTable(lengths.subarray(numSymbols))];
  }

  for (let last = 0; !last;) {
    last = take(1);
    const kind = take(2);
    if (kind === 0) copyBlock();
    else expandBlock(...(kind === 1 ? fixedTables() : readTables()));
  }
  return output;
}

/** Return for each number of 15 bits the symbol whose code it begins with, times 16, plus the length of that code. */
function codeTable(lengths) {
  const table = new Uint16Array(1 << LONGEST_CODE), counts = new Uint16Array(LONGEST_CODE + 1);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  const next = new Uint16Array(LONGEST_CODE + 2);
  for (let length = 1; length <= LONGEST_CODE; length++) next[length + 1] = (next[length] + counts[length]) << 1;
  lengths.forEach((length, symbol) => {
    if (!length) return;
    let code = next[length]++, reversed = 0; // codes begin with their highest bit, the stream with its lowest
    for (let k = 0; k < length; k++, code >>= 1) reversed = (reversed << 1) | (code & 1);
    for (let k = reversed; k < table.length; k += 1 << length) table[k] = (symbol << 4) | length;
  });
  return table;
}

function fixedTables() {
  const lengths = new Uint8Array(288).fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280);
  return [codeTable(lengths), codeTable(new Uint8Array(30).fill(5))];
}
