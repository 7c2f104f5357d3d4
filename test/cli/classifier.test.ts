/** `--classifier`: a NoisyLatentImageClassifier's checkpoint guides txt2img, sample and replay. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { encoderUNetConfigSchema, ldmUNet } from '../../src/config/network-config.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { networkParameters } from '../../src/models/index.ts';
import { initialWeights } from '../../src/training/step/initial-weights.ts';
import { reference } from '../reference.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const tiny = reference('diffusion/pipelines/tiny.ckpt');

/** As Lightning saves the original: the classifier under `model.`, the diffusion model beside it. */
async function writeClassifier(path: string): Promise<void> {
  const checkpoint = await openCheckpointAt(tiny);
  const {
    model_channels,
    num_res_blocks,
    attention_resolutions,
    channel_mult,
    num_heads,
    num_head_channels,
    norm_num_groups,
    out_channels,
  } = ldmUNet(checkpoint.config.unet_config);
  await checkpoint.close();
  const config = encoderUNetConfigSchema.parse({
    kind: 'encoder_unet',
    image_size: 8,
    in_channels: out_channels,
    out_channels: 7,
    model_channels,
    num_res_blocks,
    attention_resolutions,
    channel_mult,
    num_head_channels,
    norm_num_groups,
    ...(num_heads > 0 ? { num_heads } : {}),
    pool: 'spatial',
  });
  const weights = initialWeights(networkParameters(config), 3);
  const entries = [...weights.entries.values()].map((entry) => ({ ...entry, name: `model.${entry.name}` }));
  await writeFileAtomic(
    path,
    writeSafetensors(entries, ({ name }) => weights.read(name.slice('model.'.length))),
  );
}

test('a latent classifier guides txt2img and sample, is in the record, and replay takes it again', async (context) => {
  const folder = temporaryFolder(context);
  const classifier = join(folder, 'judge.safetensors');
  await writeClassifier(classifier);
  const run = [
    'a cat',
    '--model',
    tiny,
    '--steps',
    '2',
    '--seed',
    '4',
    '--quiet',
    '--no-watermark',
    '--W',
    '64',
    '--H',
    '64',
  ];
  const guide = ['--classifier', classifier, '--class', '3'];
  const picture = async (name: string, more: readonly string[]): Promise<Buffer> => {
    const made = await sd(['txt2img', ...run, ...more, '--output', join(folder, name)]);
    assert.equal(made.code, 0, made.err);
    return readFileSync(join(folder, name));
  };
  const plain = await picture('plain.png', []);
  for (const sampler of ['ddim', 'dpm-solver', 'euler', 'plms']) {
    const words = ['--sampler', sampler, ...guide];
    const [one, other] = [
      await picture(`${sampler}.png`, [...words, '--classifier-scale', '40']),
      await picture(`${sampler}-1.png`, words),
    ];
    assert.ok(!one.equals(other) && !one.equals(plain), sampler);
  }
  const again = await sd([
    'replay',
    join(folder, 'ddim.png'),
    '--model',
    tiny,
    '--classifier',
    classifier,
    '--skip_save',
    '--quiet',
  ]);
  assert.equal(again.code, 0, again.err);
  const sample = [
    'sample',
    '--model',
    tiny,
    '--prompts',
    join(folder, 'prompts.txt'),
    '--steps',
    '2',
    '--quiet',
    ...guide,
  ];
  writeFileSync(join(folder, 'prompts.txt'), 'a cat\na dog\n');
  const bulk = await sd([...sample, '--width', '64', '--height', '64', '--outdir', join(folder, 'set')]);
  assert.equal(bulk.code, 0, bulk.err);
  for (const [more, expected] of [
    [['--class', '9', '--classifier', classifier], /The class is 9; the classifier .* has the classes 0 to 6/],
    [['--classifier', classifier], /guides towards classes, and none was given/],
    [['--classifier-scale', '3'], /--classifier-scale needs --classifier FILE/],
    [['--classifier', tiny, '--class', '1'], /is not a classifier/],
    [[...guide, '--W', '128'], /Use the size that it was trained with/],
  ] as const) {
    const refused = await sd(['txt2img', ...run, ...more, '--output', join(folder, 'refused.png')]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, expected);
  }
});
