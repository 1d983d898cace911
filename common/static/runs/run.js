// What a page keeps of a run, however long the run is: the latest readings, each of them, and of everything
// before only the extremes. There is nothing of the page itself in here.
//
// All times are whole microseconds of Unix time, which a number of JavaScript holds exactly.

class Run {
  static RING = 2 ** 17; // so many of the latest readings are always there
  static BINS = 4096; // so many bins at most for the whole run
  static FIELDS = 32; // a run with more fields has fewer of both: memory is no matter of how many there are

  // hello: the server's first message, which describes the run.
  constructor(hello = { epoch: null, run: "", live: true, head: 0, fields: [], units: [], rate: 1, speed: null }) {
    this.epoch = hello.epoch;
    this.run = hello.run;
    this.live = hello.live;
    this.head = hello.head; // the number of its newest reading then
    this.fields = hello.fields;
    this.units = hello.units;
    this.rate = hello.rate;
    this.speed = hello.speed;
    this.have = 0; // up to this reading all are accounted for: received, or said to be gone
    this.received = 0;
    this.gone = 0;
    this.oldest = Infinity; // times of the first reading and of the newest
    this.newest = -Infinity;
    // No line is drawn across so much time without a reading. (Without a sample rate, what is usual decides.)
    this.gap = Math.max(this.rate ? 3 / this.rate : 0, 0.2) * 1e6;
    const share = Run.FIELDS / Math.max(Run.FIELDS, this.fields.length);
    this.ringSize = Math.ceil(share * Run.RING);
    // Room for a quarter more, so that the older ones are moved out of the way only now and then.
    this.ring = new Rows(this.fields.length, Math.ceil(1.25 * this.ringSize));
    this.overview = new Bins(this.fields.length, 1, Math.ceil(share * Run.BINS));
    this.detail = null; // the server's latest answer to a view: { from, to, rows } or { from, to, bins }
  }

  // Adds lines of the log. Throws an error if one is missing before them, or among them.
  addLines(text) {
    for (const line of text.split("\n")) {
      if (line.trim() === "") continue; // what follows the end of the last line
      const { seq, time, values } = parseLine(line);
      this.account(seq, seq);
      this.received += 1;
      const { ring } = this;
      if (ring.length === ring.capacity) ring.keep(this.ringSize);
      ring.add(time, values);
      this.overview.addRows(ring, ring.length - 1, ring.length);
      this.oldest = Math.min(this.oldest, time);
      this.newest = time;
    }
  }

  // Adds what stands for readings that are too many to send each.
  addExtremes({ first, last, gone, width, bins }) {
    const extremes = parseBins(bins, width, this.fields.length);
    const count = extremes.counts.reduce((sum, one) => sum + one, 0);
    if (count + gone !== last - first + 1) throw new Error(`extremes of ${first} to ${last} are incomplete`);
    this.account(first, last);
    this.received += count;
    this.gone += gone;
    while (this.overview.width < width) this.overview.widen();
    this.overview.addBins(extremes, 0, extremes.length);
    this.oldest = Math.min(this.oldest, bins[0][0] * width);
    this.newest = Math.max(this.newest, bins.at(-1)[0] * width);
    // The ring has no holes: it begins after them.
    this.ring.length = 0;
  }

  // These readings were logged, and are not there any more.
  addGone(first, last) {
    this.account(first, last);
    this.gone += last - first + 1;
  }

  account(first, last) {
    if (first !== this.have + 1) throw new Error(`reading ${this.have + 1} is missing: ${first} came instead`);
    this.have = last;
  }

  // Keeps the server's answer to a view, in place of the one before.
  addDetail({ from, to, width, lines, bins }) {
    const fields = this.fields.length;
    const rows = width === 0 ? parseRows(lines, fields) : null;
    this.detail = { from, to, rows, bins: rows ? null : parseBins(bins, width, fields) };
  }

  // The time from which on the ring has every reading: after its first, because in that microsecond there can have been
  // others. (If it has all there are, that is for ever.)
  ringStart(rows = Infinity) {
    const { ring, received } = this;
    if (ring.length === received && ring.length <= rows) return -Infinity;
    return ring.length === 0 ? Infinity : ring.times[Math.max(0, ring.length - rows)] + 1;
  }

  // What to ask the server for, so that this view can be shown as finely as the screen has pixels:
  // { from, to, columns }, or null if nothing has to be asked.
  wants(from, to, pixels) {
    const half = (to - from) / 2;
    let width = binWidth(from, to, pixels);
    const sure = Math.min(this.ringStart(this.ringSize), this.newest);
    if (from >= sure || to < this.oldest) return null;
    // Half a view more on either side, and asked for again when half of that is used up: so panning is smooth.
    const near = { from: Math.max(from - half / 2, this.oldest), to: Math.min(to + half / 2, sure) };
    const few = (bins) => countIn(bins, from, to) <= 4 * pixels;
    // Around a view with few readings there can be too many to be sent. Then it is asked for by itself, as it is.
    const isAlone = this.detail?.rows && this.detail.to - this.detail.from < 3 * half;
    if (isAlone && this.covers(Math.max(from, this.oldest), Math.min(to, sure))) return null;
    let margin = half;
    if (this.covers(near.from, near.to)) {
      const { rows, bins } = this.detail;
      if (rows || (bins.width <= 2 * width && !few(bins))) return null;
      if (few(bins)) [margin, width] = [0, 1];
    } else if (this.overview.width <= width && !few(this.overview)) {
      return null;
    }
    // Whole bins, or the first and the last would lack a part. But what is newer than the newest, no answer has.
    const start = Math.floor(Math.max(from - margin, this.oldest) / width) * width;
    const end = Math.ceil((to + margin + 1) / width) * width - 1;
    return { from: start, to: Math.min(end, this.newest), columns: 2 * pixels };
  }

  covers(from, to) {
    return this.detail !== null && this.detail.from <= from && this.detail.to >= to;
  }

  // The picture of a view: { data, width }. data: columns for uPlot, the times in seconds; width: 0 if every
  // reading is shown, else that of the widest bins.
  columns(from, to, pixels) {
    const { ring, overview } = this;
    const fields = this.fields.length;
    const picture = new Picture(fields, this.gap, this.rate !== null);
    const begin = this.ringStart();
    const first = Math.max(ring.find(begin), ring.find(from) - 1);
    const last = to < begin ? first : Math.min(ring.length, ring.find(to + 1) + 1);

    // The part older than the ring, as the server's answer has it, if there is one.
    const isOlder = from < begin;
    const detail = isOlder && this.covers(Math.max(from, this.oldest), Math.min(to, begin)) ? this.detail : null;
    const rows = detail?.rows ?? new Rows(fields, 0);
    const [firstRow, lastRow] = [Math.max(0, rows.find(from) - 1), Math.min(rows.find(to + 1) + 1, rows.find(begin))];
    if ((!isOlder || detail?.rows) && lastRow - firstRow + last - first <= 4 * pixels + 2) {
      picture.addRows(rows, firstRow, lastRow);
      picture.addRows(ring, first, last);
      return { data: picture.finish(), width: 0 };
    }

    const width = binWidth(from, to, pixels);
    // As long as only the overview is there, the older part may have wider bins.
    const source = detail?.bins && detail.bins.width < overview.width ? detail.bins : overview;
    const olderWidth = isOlder && !detail?.rows ? Math.max(width, source.width) : width;
    const older = new Bins(fields, olderWidth, pixels + 4);
    if (detail?.rows) older.addRows(rows, firstRow, lastRow);
    else if (isOlder) {
      const after = Math.min(source.find(to + source.width) + 1, source.find(begin + source.width));
      older.addBins(source, Math.max(0, source.find(from) - 1), after);
    }
    // The bin in which the ring begins is filled up from the ring: what is in both does extremes no harm.
    const split = isOlder ? Math.min(last, ring.find(Math.ceil(begin / olderWidth) * olderWidth)) : first;
    older.addRows(ring, first, split);
    const newer = new Bins(fields, width, pixels + 4);
    newer.addRows(ring, split, last);
    picture.addBins(older);
    picture.addBins(newer);
    return { data: picture.finish(), width: olderWidth };
  }

  // The newest reading of a view, { time, values }: of each field the newest value, as far as readings are known
  // there, and null if only extremes are.
  latest(from, to) {
    const rows = [this.ring, this.detail?.rows].find((rows) => rows?.length > 0 && rows.times[0] <= to);
    if (!rows) return { time: Math.min(to, this.newest), values: null };
    const last = rows.find(to + 1) - 1;
    const values = rows.values.map((column) => {
      let row = last;
      while (row > 0 && rows.times[row] >= from && Number.isNaN(column[row])) row -= 1;
      return rows.times[row] < from || Number.isNaN(column[row]) ? null : column[row];
    });
    return { time: rows.times[last], values };
  }
}

// What uPlot draws, point by point. It joins what is on either side of undefined, and breaks the line at null.
class Picture {
  constructor(fields, gap, hasRate) {
    this.gap = gap;
    this.hasRate = hasRate;
    this.points = 0;
    this.xs = [];
    this.ys = Array.from({ length: fields }, () => []);
    this.starts = []; // of the time that a point stands for
    this.ends = [];
  }

  // Adds a point with the values that the columns have at a place. What is not a finite number is no value.
  add(time, start, end, columns, place) {
    const before = this.ends.at(-1);
    // A point without values makes room for a gap.
    if (start - before >= this.gap) this.push(this.xs.at(-1), before, before, null, 0);
    this.push(time / 1e6, start, end, columns, place);
    this.points += 1;
  }

  push(x, start, end, columns, place) {
    this.xs.push(x);
    this.starts.push(start);
    this.ends.push(end);
    for (let field = 0; field < this.ys.length; field += 1) {
      const value = columns ? columns[field][place] : NaN;
      this.ys[field].push(Number.isFinite(value) ? value : undefined);
    }
  }

  addRows({ times, values }, from, to) {
    for (let row = from; row < to; row += 1) this.add(times[row], times[row], times[row], values, row);
  }

  // Each bin is two points: its minimum, and in the middle of it its maximum.
  addBins({ length, numbers, lows, highs, width }) {
    for (let bin = 0; bin < length; bin += 1) {
      const start = numbers[bin] * width;
      this.add(start, start, start + width, lows, bin);
      this.add(start + width / 2, start, start + width, highs, bin);
    }
  }

  // Breaks each line where there is nothing for too long. Some sensors send their fields at different rates: a field
  // that lacks values otherwise is broken only where its own are further apart than they usually are.
  finish() {
    for (const column of this.ys) {
      const steps = []; // times from each value to the next
      const holes = []; // places, if any, between a value and the next
      let before = -1;
      let values = 0;
      for (let place = 0; place < column.length; place += 1) {
        if (column[place] === undefined) continue;
        values += 1;
        if (before >= 0) {
          const step = this.starts[place] - this.ends[before];
          if (step >= 0) steps.push(step); // from one point of a bin to the other is none
          holes.push({ from: before + 1, to: place, step });
        }
        before = place;
      }
      const isRegular = this.hasRate && values === this.points;
      const limit = isRegular ? this.gap : Math.max(this.gap, 3 * median(steps));
      for (const { from, to, step } of holes) if (step >= limit) column.fill(null, from, to);
    }
    return [this.xs, ...this.ys];
  }
}

const median = (numbers) => Float64Array.from(numbers).sort()[numbers.length >> 1];

// The smallest bins, a power of two wide, of which no more than `most` cover a view.
function binWidth(from, to, most) {
  return 2 ** Math.max(0, Math.ceil(Math.log2((to - from) / most)));
}
