/** Files that a server keeps for itself: its secret, its pictures. What is not its own stays. */

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  readFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openFileStore } from '../../src/server/store/file-store.ts';
import { readSecret, sharedSecret } from '../../src/server/store/signed-link.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-kept-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('old pictures go; a file or folder of somebody else stays, and stops nothing', async () => {
  const store = openFileStore(join(folder, 'pictures'));
  const id = await store.put(new Uint8Array([1, 2, 3]));
  const inside = join(folder, 'pictures', id.slice(0, 2));
  const others = [join(inside, 'notes.txt'), join(inside, '0-folder')];
  writeFileSync(others[0] ?? '', 'mine');
  mkdirSync(others[1] ?? '');
  const left = join(inside, '00000000-0000-4000-8000-000000000000.part');
  writeFileSync(left, '');
  for (const path of [join(inside, id), left, ...others]) utimesSync(path, 1, 1);
  assert.equal(await store.prune(Date.now()), 2);
  assert.equal(await store.has(id), false);
  for (const path of others) assert.ok(existsSync(path), path);
});

test('the secret is not written through a link, and a damaged one is replaced whole', async () => {
  const [victim, path] = [join(folder, 'victim'), join(folder, 'link-secret')];
  writeFileSync(victim, 'text of a person');
  symlinkSync(victim, path);
  const secret = await readSecret(path);
  assert.equal(secret.length, 32);
  assert.equal(readFileSync(victim, 'utf8'), 'text of a person');
  assert.deepEqual([...(await readSecret(path))], [...secret]);
});

test('what Redis holds in the place of the secret is refused, because an empty secret signs for everybody', async () => {
  for (const found of [null, '', 'not hexadecimal', 'ab'])
    await assert.rejects(sharedSecret({ get: async () => found, set: async () => null }, 'sd'), {
      code: 'file-corrupt',
      message: /sd:link-secret in Redis/,
    });
});
