// SPDX-License-Identifier: Apache-2.0
// A Web Worker that solves a challenge, so that a person need not wait.
//
//   const worker = new Worker(url);                       needs worker-src 'self' (or script-src)
//   worker.postMessage({ token: TOKEN, difficulty: BITS });
//   worker.onmessage = event => event.data                { token: TOKEN, answer: "123456" }
//   worker.terminate();                                   to stop; the form can be sent unsolved
//
// The answer is the first count, in decimal, for which SHA-256 of "TOKEN:ANSWER" begins with BITS
// zero bits (0 to 31). No WebCrypto: it is missing on old phones and on pages without https, and a
// call for each try would cost more than the hash. TOKEN is ASCII; 64 characters are one block,
// whose state is computed once, so that each try is one compression.
"use strict";

var K = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
]);
var W = new Int32Array(64);

// One compression of the block in W[0..15] from the state `from` into the state `to`.
function compress(from, to) {
  var i, x, y, t, u;
  for (i = 16; i < 64; i++) {
    x = W[i - 15];
    y = W[i - 2];
    W[i] = (((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) + W[i - 16] +
      ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) + W[i - 7]) | 0;
  }
  var a = from[0], b = from[1], c = from[2], d = from[3];
  var e = from[4], f = from[5], g = from[6], h = from[7];
  for (i = 0; i < 64; i++) {
    t = (h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) +
      (g ^ e & (f ^ g)) + K[i] + W[i]) | 0;
    u = (((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) +
      (a & b | c & (a | b))) | 0;
    h = g; g = f; f = e; e = (d + t) | 0;
    d = c; c = b; b = a; a = (t + u) | 0;
  }
  to[0] = from[0] + a; to[1] = from[1] + b; to[2] = from[2] + c; to[3] = from[3] + d;
  to[4] = from[4] + e; to[5] = from[5] + f; to[6] = from[6] + g; to[7] = from[7] + h;
}

// The byte `value` at place `at` of the block in W.
function put(at, value) {
  W[at >> 2] |= value << (24 - (at & 3) * 8);
}

function solve(token, difficulty) {
  var prefix = token + ":";
  var state = new Int32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
  ]);
  var out = new Int32Array(8);
  var whole = prefix.length - prefix.length % 64;
  var i, j, count, digits, length;
  for (i = 0; i < whole; i += 64) {
    W.fill(0, 0, 16);
    for (j = 0; j < 64; j++) put(j, prefix.charCodeAt(i + j));
    compress(state, state);
  }
  var head = new Int32Array(16);
  W.fill(0, 0, 16);
  for (j = whole; j < prefix.length; j++) put(j - whole, prefix.charCodeAt(j));
  head.set(W.subarray(0, 16));
  for (count = 0; ; count++) {
    digits = String(count);
    length = prefix.length - whole + digits.length;
    if (length > 55) return null; // the count would need another block
    W.set(head);
    for (j = 0; j < digits.length; j++) put(length - digits.length + j, digits.charCodeAt(j));
    put(length, 0x80);
    W[15] = (whole + length) * 8;
    compress(state, out);
    if (difficulty === 0 || out[0] >>> (32 - difficulty) === 0) return digits;
  }
}

self.onmessage = function (event) {
  var answer = solve(event.data.token, event.data.difficulty);
  self.postMessage({ token: event.data.token, answer: answer });
};
