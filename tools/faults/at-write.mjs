/**
 * Faults at system writes, for `node --import`: SD_FAULT="KIND:N" makes the N-th call of this thread that writes to a file system
 *
 *   kill   end the process at once, before it writes
 *   half   end the process when half of the bytes are written (or before, where there are no bytes)
 *   full   fail as on a full disk (ENOSPC), and the calls after it that need room: three in all
 *   count  change nothing
 *
 * At the end of the thread the number of calls is appended to the file SD_FAULT_REPORT.
 */

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { threadId } from 'node:worker_threads';

const [kind = 'count', wanted = '0'] = (process.env.SD_FAULT ?? '').split(':');
const at = Number(wanted);
const fails = 3;
/** The descriptors of terminal and pipes are no files. */
const firstFile = 3;
let calls = 0;
const plain = { openSync: fs.openSync, writeSync: fs.writeSync };

function end() {
  process.kill(process.pid, 'SIGKILL');
  for (;;); // until the signal has come
}

function noRoom(name) {
  const error = new Error(`ENOSPC: no space left on device, ${name}`);
  return Object.assign(error, { code: 'ENOSPC', errno: -28, syscall: name });
}

/** Counts a call; ends the process or throws where it is the one. `half` writes the first half of the bytes. */
function reach(name, needsRoom, half) {
  calls++;
  if (kind === 'full' && needsRoom && calls >= at && calls < at + fails) throw noRoom(name);
  if (calls !== at) return;
  if (kind === 'half') half?.();
  if (kind === 'kill' || kind === 'half') end();
}

const roomy = ['write', 'writev', 'writeFile', 'appendFile', 'copyFile', 'mkdir', 'link', 'symlink'];
const others = ['rename', 'rm', 'unlink', 'rmdir', 'truncate', 'ftruncate', 'fsync', 'fdatasync', 'sync', 'datasync'];

/** The first half of the bytes that a call of `fs.writeSync(fd, buffer, offset, length, position)` would write. */
function halfOf([fd, buffer, offset = 0, length = buffer.length - offset, position = null]) {
  if (typeof buffer !== 'string') plain.writeSync(fd, buffer, offset, Math.floor(length / 2), position);
}

function wrap(target, name, needsRoom, isAsync) {
  const original = target[name];
  if (typeof original !== 'function') return;
  target[name] = function (...given) {
    const isFile = !(typeof given[0] === 'number' && given[0] < firstFile);
    if (!isFile) return original.apply(this, given);
    try {
      reach(name, needsRoom, name === 'writeSync' ? () => halfOf(given) : undefined);
    } catch (error) {
      if (isAsync) return Promise.reject(error);
      throw error;
    }
    return original.apply(this, given);
  };
}

for (const [names, needsRoom] of [
  [roomy, true],
  [others, false],
])
  for (const name of names) {
    wrap(fs, `${name}Sync`, needsRoom, false);
    wrap(fs.promises, name, needsRoom, true);
  }
const probe = await fs.promises.open(new URL(import.meta.url), 'r');
const handle = Object.getPrototypeOf(probe);
await probe.close();
for (const name of roomy) if (name !== 'copyFile') wrapHandle(name, true);
for (const name of others) wrapHandle(name, false);

function wrapHandle(name, needsRoom) {
  const original = handle[name];
  if (typeof original !== 'function') return;
  handle[name] = function (...given) {
    try {
      reach(name, needsRoom, () => {
        if (name === 'write' && given[0] instanceof Uint8Array) {
          const [bytes, offset = 0, length = bytes.length - offset, position = null] = given;
          plain.writeSync(this.fd, bytes, offset, Math.floor(length / 2), position);
        }
      });
    } catch (error) {
      return Promise.reject(error);
    }
    return original.apply(this, given);
  };
}
syncBuiltinESMExports();

const report = process.env.SD_FAULT_REPORT;
// Not by fs.appendFileSync, which calls fs.writeFileSync: the report would meet the fault itself.
if (report) process.on('exit', () => plain.writeSync(plain.openSync(report, 'a'), `${threadId} ${calls}\n`));
