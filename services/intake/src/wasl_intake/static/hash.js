// SPDX-License-Identifier: Apache-2.0
// Fingerprints of a person's own picture or video, made in the browser: the file is read here and
// goes nowhere. SHA-256 (FIPS 180-4) and MD5 (RFC 1321) of its bytes, in slices, so that a long
// video fits into a small telephone; for pictures also PDQ (Meta, "The TMK+PDQF Video-Hashing
// Algorithm and the PDQ Image-Hashing Algorithm", 2019). Own code, for WebCrypto knows no slices.
(() => {
  "use strict";

  // -- SHA-256 and MD5 ---------------------------------------------------------------------------

  const hex = (number) => (number >>> 0).toString(16).padStart(8, "0");

  /** Words of 64-byte blocks go through `mix(state, words)`; `little`: which byte of a word is first. */
  class Digest {
    constructor(state, mix, little) {
      this.state = Int32Array.from(state);
      this.mix = mix;
      this.little = little;
      this.words = new Int32Array(64);
      this.rest = new Uint8Array(64);
      this.length = 0;
    }

    block(bytes, at) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at, 64);
      for (let i = 0; i < 16; i += 1) this.words[i] = view.getInt32(i * 4, this.little);
      this.mix(this.state, this.words);
    }

    update(bytes) {
      const held = this.length % 64;
      this.length += bytes.length;
      let at = 0;
      if (held) {
        at = Math.min(64 - held, bytes.length);
        this.rest.set(bytes.subarray(0, at), held);
        if (held + at < 64) return this;
        this.block(this.rest, 0);
      }
      for (; at + 64 <= bytes.length; at += 64) this.block(bytes, at);
      this.rest.set(bytes.subarray(at));
      return this;
    }

    /** In hex. The digest is used up. */
    end() {
      const { length, little } = this;
      const used = ((119 - (length % 64)) % 64) + 1;
      const pad = new Uint8Array(used + 8);
      pad[0] = 0x80;
      const view = new DataView(pad.buffer);
      const high = Math.floor(length / 0x20000000);
      view.setUint32(used, little ? length << 3 : high, little);
      view.setUint32(used + 4, little ? high : length << 3, little);
      this.update(pad);
      const swap = (n) => (n >>> 24) | ((n >>> 8) & 0xff00) | ((n << 8) & 0xff0000) | (n << 24);
      return Array.from(this.state, (n) => hex(little ? swap(n) : n)).join("");
    }
  }

  const primes = [];
  for (let n = 2; primes.length < 64; n += 1) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x) => ((x % 1) * 0x100000000) | 0;
  const CUBES = primes.map((p) => fraction(Math.cbrt(p)));
  const ROOTS = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const SINES = primes.map((_, i) => (Math.abs(Math.sin(i + 1)) * 0x100000000) | 0);
  const TURNS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];

  const right = (x, n) => (x >>> n) | (x << (32 - n));

  const mixSha256 = (state, w) => {
    for (let i = 16; i < 64; i += 1) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = right(x, 7) ^ right(x, 18) ^ (x >>> 3);
      const s1 = right(y, 17) ^ right(y, 19) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i += 1) {
      const s1 = right(e, 6) ^ right(e, 11) ^ right(e, 25);
      const t = (h + s1 + ((e & f) ^ (~e & g)) + CUBES[i] + w[i]) | 0;
      const s0 = right(a, 2) ^ right(a, 13) ^ right(a, 22);
      h = g;
      g = f;
      f = e;
      e = (d + t) | 0;
      d = c;
      const m = (a & b) ^ (a & c) ^ (b & c);
      c = b;
      b = a;
      a = (t + s0 + m) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((n, i) => {
      state[i] += n;
    });
  };

  const mixMd5 = (state, w) => {
    let [a, b, c, d] = state;
    for (let i = 0; i < 64; i += 1) {
      const round = i >> 4;
      let f = c ^ (b | ~d);
      let k = 7 * i;
      if (round === 0) {
        f = (b & c) | (~b & d);
        k = i;
      } else if (round === 1) {
        f = (d & b) | (~d & c);
        k = 5 * i + 1;
      } else if (round === 2) {
        f = b ^ c ^ d;
        k = 3 * i + 5;
      }
      const t = (a + f + SINES[i] + w[k & 15]) | 0;
      a = d;
      d = c;
      c = b;
      b = (b + right(t, 32 - TURNS[round * 4 + (i & 3)])) | 0;
    }
    [a, b, c, d].forEach((n, i) => {
      state[i] += n;
    });
  };

  const sha256 = () => new Digest(ROOTS, mixSha256, false);
  const md5 = () => new Digest([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476], mixMd5, true);

  // -- PDQ ---------------------------------------------------------------------------------------

  /** Each value becomes the mean of `full` around it, fewer at the ends. */
  const box = (from, full) => {
    const ahead = ((full + 2) >> 1) - 1;
    const behind = full - 1 - ahead;
    const last = from.length - 1;
    let sum = 0;
    for (let i = 0; i < ahead && i <= last; i += 1) sum += from[i];
    return from.map((_, i) => {
      if (i + ahead <= last) sum += from[i + ahead];
      if (i - behind > 0) sum -= from[i - behind - 1];
      return sum / (Math.min(last, i + ahead) - Math.max(0, i - behind) + 1);
    });
  };

  const SIDE = 64;
  const LOW = 16;
  const DCT = Array.from({ length: LOW }, (_, i) =>
    Float64Array.from(
      { length: SIDE },
      (__, j) => Math.sqrt(2 / SIDE) * Math.cos((Math.PI / 2 / SIDE) * (i + 1) * (2 * j + 1)),
    ),
  );

  /** A line blurred twice (Jarosz) and cut down to 64 values. */
  const cut = (line) => {
    const full = Math.ceil(line.length / (2 * SIDE));
    const soft = box(box(line, full), full);
    return Float64Array.from({ length: SIDE }, (_, i) => soft[Math.floor(((i + 0.5) * line.length) / SIDE)]);
  };

  /**
   * `rows`: the brightness of each row, each already cut. Rows and columns may be cut one after the
   * other, so the whole picture is never held. Gives 256 bits in hex and the quality, 0 to 100.
   */
  const pdq = (rows) => {
    const columns = Array.from({ length: SIDE }, (_, x) => cut(Float64Array.from(rows, (row) => row[x])));
    const small = Array.from({ length: SIDE }, (_, y) => columns.map((column) => column[y]));
    let gradient = 0;
    for (let y = 0; y < SIDE; y += 1) {
      for (let x = 0; x < SIDE; x += 1) {
        const step = (u) => Math.floor(Math.abs((small[y][x] - u) * 100) / 255);
        if (y + 1 < SIDE) gradient += step(small[y + 1][x]);
        if (x + 1 < SIDE) gradient += step(small[y][x + 1]);
      }
    }
    const half = DCT.map((row) =>
      Float64Array.from({ length: SIDE }, (_, x) => row.reduce((s, d, y) => s + d * small[y][x], 0)),
    );
    const waves = [];
    half.forEach((line) =>
      DCT.forEach((row) => waves.push(row.reduce((s, d, x) => s + d * line[x], 0))),
    );
    const median = waves.slice().sort((a, b) => a - b)[127];
    let text = "";
    for (let k = 252; k >= 0; k -= 4) {
      const bits = [3, 2, 1, 0].map((b) => (waves[k + b] > median ? 1 : 0));
      text += parseInt(bits.join(""), 2).toString(16);
    }
    return { text, quality: Math.min(100, Math.floor(gradient / 90)) };
  };

  /** Below this quality two pictures may share a fingerprint (from the paper). */
  const POOR = 50;

  const canvasOf = (width, height) => {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    return canvas.getContext("2d", { willReadFrequently: true });
  };

  /** Browsers that guard against tracking give noise instead of the canvas; then there is no PDQ. */
  const canvasIsTrue = () => {
    const context = canvasOf(2, 1);
    context.fillStyle = "#c86432";
    context.fillRect(0, 0, 1, 1);
    context.fillStyle = "#1496fa";
    context.fillRect(1, 0, 1, 1);
    const seen = context.getImageData(0, 0, 2, 1).data;
    return [200, 100, 50, 255, 20, 150, 250, 255].every((n, i) => Math.abs(n - seen[i]) < 9);
  };

  const STRIP = 64;

  // The page stays alive on a slow telephone, and the person can stop.
  const STOPPED = new Error("stopped");
  let stopped = false;
  const pause = () =>
    new Promise((resolve, reject) => setTimeout(() => (stopped ? reject(STOPPED) : resolve()), 0));

  /** The rows of a picture, upright, for `pdq`. Rejects what the browser cannot open. */
  const rowsOf = async (file) => {
    const picture = await createImageBitmap(file);
    const { width, height } = picture;
    const context = canvasOf(width, STRIP);
    context.fillStyle = "#fff";
    const rows = [];
    for (let top = 0; top < height; top += STRIP) {
      context.fillRect(0, 0, width, STRIP);
      context.drawImage(picture, 0, -top);
      const { data } = context.getImageData(0, 0, width, Math.min(STRIP, height - top));
      for (let at = 0; at < data.length; at += 4 * width) {
        const line = new Float64Array(width);
        for (let x = 0, i = at; x < width; x += 1, i += 4) {
          line[x] = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
        }
        rows.push(cut(line));
      }
      await pause();
    }
    picture.close();
    return rows;
  };

  // -- the page ----------------------------------------------------------------------------------

  const SLICE = 2 ** 21;
  const LIMIT = 20;
  const tool = document.getElementById("fingerprint");
  const field = document.getElementById("fingerprints");
  if (!tool || !field || !window.FileReader) return;
  const abc = new Uint8Array([97, 98, 99]);
  // A wrong fingerprint is worse than none: what this browser computes is checked first.
  if (!md5().update(abc).end().startsWith("900150983cd24fb0")) return;
  if (!sha256().update(abc).end().startsWith("ba7816bf8f01cfea")) return;

  const part = (name) => tool.querySelector(`[data-part="${name}"]`);
  const [chooser, work, bar, stop, status, list] = [
    "file", "work", "bar", "stop", "status", "list",
  ].map(part);
  const texts = tool.dataset;
  const held = () => field.value.split(/\s+/).filter(Boolean);

  const element = (tag, text, ...inside) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...inside);
    return made;
  };

  /** Fingerprints of one file stand together and begin with its SHA-256. */
  const show = () => {
    const files = [];
    held().forEach((line) => {
      if (line.startsWith("sha256:") || !files.length) files.push([]);
      files[files.length - 1].push(line);
    });
    list.replaceChildren(
      ...files.map((lines, i) => {
        const drop = element("button", texts.remove);
        drop.type = "button";
        drop.className = "link";
        drop.setAttribute("aria-label", `${texts.remove} ${i + 1}`);
        drop.addEventListener("click", () => {
          field.value = held().filter((line) => !lines.includes(line)).join(" ");
          show();
          status.textContent = texts.removed;
          chooser.focus();
        });
        const codes = lines.map((line) => {
          const code = element("code", line);
          code.dir = "ltr";
          return element("li", "", code);
        });
        const seen = element("details", "", element("summary", texts.seen), element("ul", "", ...codes));
        return element("li", "", element("strong", texts.made.replace("{n}", i + 1)), seen, drop);
      }),
    );
    list.hidden = !files.length;
    if (files.length) tool.closest("details").open = true;
  };

  const read = (blob) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(new Uint8Array(reader.result));
      reader.onerror = () => reject(reader.error);
      reader.readAsArrayBuffer(blob);
    });

  const exact = async (file) => {
    const [long, short] = [sha256(), md5()];
    for (let at = 0; at < file.size; at += SLICE) {
      const bytes = await read(file.slice(at, at + SLICE));
      await pause();
      long.update(bytes);
      short.update(bytes);
      bar.value = Math.min(1, (at + SLICE) / file.size);
    }
    return [`sha256:${long.end()}`, `md5:${short.end()}`];
  };

  /** A picture's PDQ with what to say of it; nothing for a video. */
  const similar = async (file) => {
    if (!file.type.startsWith("image/")) return { lines: [], note: texts.exact };
    if (!window.createImageBitmap || !canvasIsTrue()) return { lines: [], note: texts.guarded };
    let rows;
    try {
      rows = await rowsOf(file);
    } catch (error) {
      if (error === STOPPED) throw error;
      return { lines: [], note: texts.unreadable };
    }
    const { text, quality } = pdq(rows);
    if (quality < POOR) return { lines: [], note: texts.poor.replace("{n}", quality) };
    return { lines: [`pdq:${text}`], note: texts.good.replace("{n}", quality) };
  };

  const take = async (file) => {
    const lines = await exact(file);
    if (held().includes(lines[0])) return texts.again;
    const { lines: more, note } = await similar(file);
    const all = [...held(), ...lines, ...more];
    if (all.length > LIMIT) return texts.full;
    field.value = all.join(" ");
    return `${texts.done} ${note}`.trim();
  };

  chooser.addEventListener("change", async () => {
    const file = chooser.files[0];
    if (!file) return;
    stopped = false;
    chooser.disabled = true;
    work.hidden = false;
    bar.value = 0;
    status.textContent = texts.reading;
    let said;
    try {
      said = file.size ? await take(file) : texts.failed;
    } catch (error) {
      said = error === STOPPED ? texts.stopped : texts.failed;
    }
    // The browser must not keep the choice: a reload or the way back would show the file's name.
    chooser.value = "";
    chooser.disabled = false;
    work.hidden = true;
    status.textContent = said;
    show();
  });
  stop.addEventListener("click", () => {
    stopped = true;
  });

  show();
  tool.hidden = false;
})();
