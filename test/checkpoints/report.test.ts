/** The strict report: missing, unexpected and misshapen by name, and the documented list of what is passed over. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { detectNetwork } from '../../src/checkpoints/detect.ts';
import { assertMatch, compareParameters, isMatch } from '../../src/checkpoints/report.ts';
import { shapedSource } from './shaped-source.ts';

const declared = [
  { name: 'a.weight', shape: [2, 3] },
  { name: 'a.bias', shape: [2] },
  { name: 'b.weight', shape: [1] },
];

test('each difference by name, with both shapes', () => {
  const report = compareParameters(
    declared,
    shapedSource(
      [
        ['a.weight', [3, 2]],
        ['b.weight', [1]],
        ['c', [1]],
        ['x.position_ids', [1, 77]],
      ],
      'model.ckpt',
    ),
  );
  assert.deepEqual(report, {
    label: 'model.ckpt',
    missing: ['a.bias'],
    unexpected: ['c'],
    misshapen: [{ name: 'a.weight', expected: [2, 3], found: [3, 2] }],
    ignored: ['x.position_ids'],
  });
  assert.throws(
    () => assertMatch(report),
    (error) => {
      assert.ok(error instanceof StableDiffusionError && error.code === 'weights-mismatch');
      assert.match(
        error.message,
        /model\.ckpt.*1 missing: a\.bias\. 1 unexpected: c\. 1 (of another shape|misshapen): a\.weight \[3, 2\] instead of \[2, 3\]/,
      );
      assert.deepEqual(error.details['missing'], ['a.bias']);
      return true;
    },
  );
});

test('a match is no error; a name on the list counts where the network declares it', () => {
  const report = compareParameters(declared, shapedSource(declared.map(({ name, shape }) => [name, shape])));
  assert.ok(isMatch(report));
  assertMatch(report);
  assert.deepEqual(compareParameters([{ name: 'to_logits.weight', shape: [1] }], shapedSource([])).missing, [
    'to_logits.weight',
  ]);
});

test('names and shapes of any kind end in a network or in a named error, soon', async () => {
  const words = [
    'model.diffusion_model.',
    'first_stage_model.',
    'cond_stage_model.',
    'input_blocks.',
    'output_blocks.',
    'middle_block.',
    'encoder.',
    'decoder.',
    'down.',
    'down_blocks.',
    'layers.',
    'transformer.',
    'text_model.',
    'embeddings.',
    'time_embed.0.',
    'conv_in.',
    'token_embedding.',
    '0.',
    '1.',
    '9999.',
    '0.0.',
    'weight',
    'bias',
    'transformer_blocks.0.',
    'visual.',
    'conv1.',
    'betas',
  ];
  const name = fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''));
  const known = fc.constantFrom(
    'input_blocks.0.0.weight',
    'time_embed.0.weight',
    'output_blocks.0.0.out_layers.3.weight',
    'middle_block.0.emb_layers.1.weight',
    'middle_block.0.out_layers.3.weight',
    'out.2.weight',
    'encoder.conv_in.weight',
    'decoder.conv_in.weight',
    'encoder.down.0.block.0.conv2.weight',
    'post_quant_conv.weight',
    'encoder.conv_out.weight',
    'decoder.conv_out.weight',
    'text_model.embeddings.token_embedding.weight',
    '0.weight',
    '1.conv.0.weight',
  );
  const shape = fc.array(fc.constantFrom(0, 1, 3, 4, 32, 33, 320, 2 ** 40), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.oneof(name, known), shape), { maxLength: 24 }), async (shapes) => {
      const source = shapedSource(shapes.filter(([key]) => key !== 'betas'));
      const named = (error: unknown) => assert.ok(error instanceof StableDiffusionError, String(error));
      try {
        detectNetwork(source);
      } catch (error) {
        named(error);
      }
      await openCheckpoint(source).catch(named);
    }),
    { numRuns: 1000, interruptAfterTimeLimit: 2000, markInterruptAsFailure: false },
  );
});
