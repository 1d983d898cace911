// Readings, and extremes of readings, in columns of numbers: what a run (run.js) consists of.

// Readings in the order of time: a column of times, and one of values for each field (NaN: no value).
class Rows {
  constructor(fields, capacity) {
    this.length = 0;
    this.capacity = capacity;
    this.times = new Float64Array(capacity);
    this.values = Array.from({ length: fields }, () => new Float64Array(capacity));
  }

  add(time, values) {
    this.times[this.length] = time;
    this.values.forEach((column, field) => (column[this.length] = values[field] ?? NaN));
    this.length += 1;
  }

  // Forgets all but the newest.
  keep(rows) {
    for (const column of [this.times, ...this.values]) column.copyWithin(0, this.length - rows, this.length);
    this.length = rows;
  }

  // The first row at this time or later.
  find(time) {
    return search(this.times, this.length, time);
  }
}

// Extremes: how many readings fell into each bin of time, and the smallest and largest value of each field.
// A bin is a power of two wide, and bin number i holds the times with floor(time / width) = i. So the same
// readings always fall into the same bins, and the picture stands still while it moves on.
class Bins {
  constructor(fields, width, capacity) {
    this.length = 0;
    this.width = width;
    this.capacity = capacity;
    this.numbers = new Float64Array(capacity);
    this.counts = new Float64Array(capacity);
    this.lows = Array.from({ length: fields }, () => new Float64Array(capacity));
    this.highs = Array.from({ length: fields }, () => new Float64Array(capacity));
  }

  // The first bin that holds this time or a later one.
  find(time) {
    return search(this.numbers, this.length, Math.floor(time / this.width));
  }

  // Where the bin of this time is; if there is none, it is made. When there is no room for it, all bins are
  // made twice as wide, until there is.
  place(time) {
    const number = Math.floor(time / this.width);
    if (number === this.numbers[this.length - 1]) return this.length - 1;
    const at = search(this.numbers, this.length, number);
    if (at < this.length && number === this.numbers[at]) return at;
    if (this.length === this.capacity) {
      this.widen();
      return this.place(time);
    }
    for (const column of [this.numbers, this.counts, ...this.lows, ...this.highs]) {
      column.copyWithin(at + 1, at, this.length);
    }
    this.length += 1;
    this.numbers[at] = number;
    this.counts[at] = 0;
    for (const low of this.lows) low[at] = Infinity;
    for (const high of this.highs) high[at] = -Infinity;
    return at;
  }

  // Two neighbours become one. Nothing is lost by it but when in the bin something was.
  widen() {
    const wider = new Bins(this.lows.length, 2 * this.width, this.capacity);
    wider.addBins(this, 0, this.length);
    Object.assign(this, wider);
  }

  addRows(rows, from, to) {
    let next = from;
    while (next < to) {
      const first = next;
      const at = this.place(rows.times[first]);
      const end = (this.numbers[at] + 1) * this.width;
      while (next < to && rows.times[next] < end) next += 1;
      this.counts[at] += next - first;
      rows.values.forEach((column, field) => {
        let low = this.lows[field][at];
        let high = this.highs[field][at];
        // What is not a number is neither smaller nor larger than one.
        for (let row = first; row < next; row += 1) {
          const value = column[row];
          if (value < low) low = value;
          if (value > high) high = value;
        }
        this.lows[field][at] = low;
        this.highs[field][at] = high;
      });
    }
  }

  // The other bins must not be wider than these.
  addBins(other, from, to) {
    for (let bin = from; bin < to; bin += 1) {
      const at = this.place(other.numbers[bin] * other.width);
      this.counts[at] += other.counts[bin];
      this.lows.forEach((low, field) => (low[at] = Math.min(low[at], other.lows[field][bin])));
      this.highs.forEach((high, field) => (high[at] = Math.max(high[at], other.highs[field][bin])));
    }
  }
}

function countIn(bins, from, to) {
  return bins.counts.subarray(bins.find(from), bins.find(to + bins.width)).reduce((sum, count) => sum + count, 0);
}

// The first place in a rising column where there is this number or a larger one.
function search(column, length, number) {
  let [from, to] = [0, length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (column[middle] < number) from = middle + 1;
    else to = middle;
  }
  return from;
}

// A line of the log: seq, time_ns, and a value for each field, of which there can be none. The time is in whole
// microseconds of Unix time: as a number, nanoseconds would lose digits. What test14 shows in full.
function parseLine(line) {
  const [seq, time, ...values] = line.split(",");
  const parseValue = (text) => (text === "" ? null : Number(text));
  return { seq: Number(seq), time: Number(time.slice(0, -3)), values: values.map(parseValue) };
}

function parseRows(text, fields) {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const rows = new Rows(fields, lines.length);
  for (const line of lines) {
    const { time, values } = parseLine(line);
    rows.add(time, values);
  }
  return rows;
}

// Bins of a message: [number, count, minimum, maximum of the first field, of the second, …], null: no value.
function parseBins(list, width, fields) {
  const bins = new Bins(fields, width, list.length);
  for (const [number, count, ...extremes] of list) {
    const at = bins.place(number * width);
    bins.counts[at] = count;
    for (let field = 0; field < fields; field += 1) {
      bins.lows[field][at] = extremes[2 * field] ?? Infinity;
      bins.highs[field][at] = extremes[2 * field + 1] ?? -Infinity;
    }
  }
  return bins;
}
