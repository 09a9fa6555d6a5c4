// Runs all tests, or the files named, against one box: starting one takes longer
// than most files do. One file after another, since each brings its own
// configuration; `t/suite/run sdk-box` calls it.
//
//     node with_box.mjs [FILE...]

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { SHARED_BOX, startBox } from './box.mjs';
import { running } from './processes.mjs';

const box = await startBox();
const file = path.join(box.directory, 'box.json');
const { home, port, admin_port, token, relay_key } = box;

fs.writeFileSync(file, JSON.stringify({ home, port, admin_port, token, relay_key }), { mode: 0o600 });

const tests = spawn(
  process.execPath,
  ['--test', '--test-reporter=tap', '--test-concurrency=1', ...process.argv.slice(2)],
  { stdio: 'inherit', env: { ...process.env, RELAY_STACK: 'box', [SHARED_BOX]: file } },
);

running.add(tests);
const code = await new Promise((resolve) => {
  tests.once('error', () => resolve(1));
  tests.once('exit', (status) => resolve(status ?? 1));
});
running.delete(tests);

try {
  await box.stop();
  process.exitCode = code;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
