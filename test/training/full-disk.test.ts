/** A disk that is full at one of the first writes of a training is named, with the file. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { nodeWords } from '../programs.ts';
import { autoencoderYaml, trainingRuns } from './training-runs.ts';

const root = join(import.meta.dirname, '../..');
const runs = await trainingRuns();

for (const at of [1, 2, 4])
  test(`a disk that is full at write ${at}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sd-full-disk-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const config = join(folder, 'a.yaml');
    writeFileSync(config, autoencoderYaml(runs.pictures));
    const words = ['train', '--config', config, '--run', join(folder, 'run'), '--steps', '1', '--quiet'];
    const { status, stderr } = spawnSync(
      process.execPath,
      [...nodeWords('src/cli/main.ts', [pathToFileURL(join(root, 'tools/faults/at-write.mjs')).href]), ...words],
      {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, SD_FAULT: `full:${at}`, SD_FAULT_REPORT: join(folder, 'report') },
      },
    );
    assert.equal(status, 1);
    assert.match(stderr, /^sd: \S+ could not be written: the disk is full\. \[file-access\]$/m);
    assert.doesNotMatch(stderr, /internal|ENOSPC/);
  });
