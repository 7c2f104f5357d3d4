/** Training under faults: resumed, the run ends with the weights of the run that nothing happened to. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { isTemporaryName } from '../../src/files/temporary-node.ts';
import { encodePngChunk, encodePngFile } from '../../src/image/metadata/png-chunks.ts';
import { readdirSync } from 'node:fs';

const side = 16;

function picture(shade: number): Uint8Array {
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, side);
  new DataView(header.buffer).setUint32(4, side);
  header.set([8, 2], 8);
  const rows = Buffer.alloc((side * 3 + 1) * side, shade);
  for (let y = 0; y < side; y++) rows[y * (side * 3 + 1)] = 0;
  return encodePngFile([
    encodePngChunk('IHDR', header),
    encodePngChunk('IDAT', new Uint8Array(deflateSync(rows))),
    encodePngChunk('IEND', new Uint8Array(0)),
  ]);
}

const yamlOf = (data: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.autoencoder.AutoencoderKL
  params:
    embed_dim: 2
    lossconfig: { target: MultiscaleReconstruction, params: { scales: 2, kl_weight: 1.0e-6 } }
    ddconfig: { double_z: true, z_channels: 2, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0 }
data: { params: { batch_size: 2, train: { params: { data_root: ${data} } } } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 2 } }
  callbacks: { image_logger: { params: { batch_frequency: 0 } } }
  trainer: { max_steps: 4 }
training: { scale_lr: false, log_every: 1, keep_best: 1 }
`;

/** Words for Node, and the check; `root` is the folder of the program, which is built. */
export function trainingScenario(root: string) {
  const words = (folder: string): readonly string[] => {
    for (let i = 0; i < 4; i++) writeFileSync(join(folder, `${i}.png`), picture(40 * i + 20));
    writeFileSync(join(folder, '..', 'training.yaml'), yamlOf(folder));
    return trainWords(folder);
  };
  const trainWords = (folder: string): readonly string[] => [
    join(root, 'dist/cli/main.js'),
    'train',
    '--config',
    join(folder, '..', 'training.yaml'),
    '--run',
    join(folder, '..', 'run'),
    '--resume',
    '--threads',
    '1',
    '--quiet',
  ];
  const finish = (folder: string): string => {
    const { status, stderr } = spawnSync(process.execPath, trainWords(folder), { cwd: root, encoding: 'utf8' });
    assert.equal(status, 0, `the run could not be resumed: ${stderr}`);
    return createHash('sha256')
      .update(readFileSync(join(folder, '..', 'run', 'model.safetensors')))
      .digest('hex');
  };
  let wanted: string | undefined;
  /** The weights of a run that nothing happens to. */
  const undisturbed = (): string => {
    if (wanted !== undefined) return wanted;
    const outer = mkdtempSync(join(tmpdir(), 'sd-fault-whole-'));
    const folder = mkdtempSync(join(outer, 'work-'));
    words(folder);
    wanted = finish(folder);
    rmSync(outer, { recursive: true, force: true });
    return wanted;
  };
  return {
    words,
    async check(folder: string): Promise<void> {
      assert.equal(finish(folder), undisturbed(), 'the weights of the resumed run differ');
      const names = readdirSync(join(folder, '..', 'run'), { recursive: true, encoding: 'utf8' });
      assert.deepEqual(
        names.filter((name) => isTemporaryName(name.split('/').at(-1) ?? '')),
        [],
      );
      const steps = readFileSync(join(folder, '..', 'run', 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Readonly<Record<string, number>>)
        .filter((row) => 'train/loss' in row)
        .map((row) => row['step']);
      assert.deepEqual(steps, [1, 2, 3, 4], 'each step is there once');
    },
  };
}
