// What starting programs takes: free ports, waiting, directories that go when
// the process ends. Used by stack.mjs and box.mjs.

import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const project = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

// What has to be ended, each with kill(), should this process leave early.
export const running = new Set();
const directories = new Set();

export function makeDirectory(prefix) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), prefix));
  directories.add(directory);
  fs.chmodSync(directory, 0o755);
  return directory;
}

export function removeDirectory(directory) {
  directories.delete(directory);
  if (process.env.RELAY_KEEP) console.error(`kept: ${directory}`);
  else fs.rmSync(directory, { recursive: true, force: true });
}

process.on('exit', () => {
  for (const one of running) one.kill();
  for (const directory of directories) removeDirectory(directory);
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

export async function waitFor(what, limit_ms, done) {
  const deadline = performance.now() + limit_ms;
  for (;;) {
    const value = await done();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`not within ${limit_ms} ms: ${what}`);
    await sleep(2);
  }
}

let nextPort = 12000 + ((process.pid * 37) % 7000);

function canListen(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

// Below the ephemeral range, so that no outgoing connection takes it meanwhile.
export async function freePort() {
  for (let tries = 0; tries < 500; tries += 1) {
    nextPort = nextPort >= 19900 ? 12000 : nextPort + 1;
    if (await canListen(nextPort)) return nextPort;
  }
  throw new Error('no free port');
}

export function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export function slurp(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
}
