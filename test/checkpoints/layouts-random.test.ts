/** Layout maps over random architectures, both ways. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { klConfigSchema, unetConfigSchema } from '../../src/config/network-config.ts';
import { traceKlDecode, traceKlEncode } from '../../src/models/autoencoder-kl.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { inferCompVisAutoencoder, inferDiffusersAutoencoder } from '../../src/checkpoints/infer/autoencoder.ts';
import { inferCompVisUNet, inferDiffusersUNet } from '../../src/checkpoints/infer/unet.ts';
import { autoencoderMap } from '../../src/checkpoints/layouts/autoencoder.ts';
import { unetMap } from '../../src/checkpoints/layouts/unet.ts';
import { renamed } from '../../src/checkpoints/rename.ts';
import { numberedSource, readAll, shapedSource, shapesOf } from './shaped-source.ts';

/** UNets of all kinds that both layouts know, small. */
const unets = fc
  .record({
    levels: fc.array(
      fc.record({
        mult: fc.integer({ min: 1, max: 3 }),
        blocks: fc.integer({ min: 1, max: 2 }),
        attends: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    transformer: fc.boolean(),
    depth: fc.integer({ min: 1, max: 2 }),
    classes: fc.option(fc.integer({ min: 1, max: 5 })),
    updown: fc.boolean(),
    resample: fc.boolean(),
    scaleShift: fc.boolean(),
    newOrder: fc.boolean(),
    inChannels: fc.constantFrom(3, 4, 8, 9),
    linear: fc.boolean(),
    vector: fc.constantFrom(null, 20),
  })
  .map(
    ({ levels, transformer, depth, classes, updown, resample, scaleShift, newOrder, inChannels, linear, vector }) => {
      const mults = [1, ...levels.slice(1).map((level) => level.mult)];
      const blocks = levels.map((level) => level.blocks);
      return unetConfigSchema.parse({
        kind: 'unet',
        in_channels: inChannels,
        out_channels: 4,
        model_channels: 32,
        num_res_blocks: blocks.every((count) => count === blocks[0]) ? blocks[0] : blocks,
        channel_mult: mults,
        attention_resolutions: levels.flatMap((level, index) => (level.attends ? [2 ** index] : [])),
        num_classes: classes,
        adm_in_channels: classes === null ? vector : null,
        use_linear_in_transformer: transformer && linear,
        use_spatial_transformer: transformer,
        transformer_depth: transformer ? depth : 1,
        context_dim: transformer ? 12 : null,
        ...(transformer && !linear ? { num_heads: 8 } : { num_head_channels: 32 }),
        // Of one level there is no sign, and pooling inside residual blocks has no parameters of its own.
        resblock_updown: updown && levels.length > 1,
        conv_resample: resample || updown || levels.length === 1,
        use_scale_shift_norm: scaleShift,
        use_new_attention_order: newOrder && !transformer,
        legacy: false,
      });
    },
  );

function parametersOf(trace: {
  readonly parameters: readonly { readonly name: string; readonly value: { readonly shape: readonly unknown[] } }[];
}): (readonly [string, number[]])[] {
  return trace.parameters.map(({ name, value }) => [name, value.shape.map(Number)] as const);
}

test('any UNet: its names to diffusers and back, every value; its architecture from either layout', async () => {
  await fc.assert(
    fc.asyncProperty(unets, async (config) => {
      const declared = parametersOf(traceUNet(config, { prefix: '' }));
      const map = unetMap(config);
      assert.deepEqual(map.rows.map((row) => row.a).sort(), declared.map(([name]) => name).sort());
      const file = shapedSource(declared);
      const there = renamed(file, map, 'a-to-b');
      assert.deepEqual(shapesOf(renamed(there, map, 'b-to-a')), shapesOf(file));
      assert.deepEqual(inferCompVisUNet(file.entries).config, { ...config, use_new_attention_order: false });
      assert.deepEqual(
        { ...inferDiffusersUNet(there.entries).config, use_new_attention_order: false },
        { ...config, use_new_attention_order: false },
      );
      const few = numberedSource(
        declared.filter(([name]) => /middle_block\.1\.(qkv|norm|proj_in|proj_out)/.test(name)),
      );
      assert.deepEqual(await readAll(renamed(renamed(few, map, 'a-to-b'), map, 'b-to-a')), await readAll(few));
    }),
    { numRuns: 60, seed: 1 },
  );
});

const autoencoders = fc
  .record({
    mults: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
    blocks: fc.integer({ min: 1, max: 3 }),
    attends: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
    embed: fc.integer({ min: 1, max: 5 }),
    z: fc.integer({ min: 1, max: 5 }),
  })
  .map(({ mults, blocks, attends, embed, z }) =>
    klConfigSchema.parse({
      kind: 'kl',
      embed_dim: embed,
      ddconfig: {
        z_channels: z,
        resolution: 256,
        in_channels: 3,
        out_ch: 3,
        ch: 32,
        ch_mult: mults,
        num_res_blocks: blocks,
        attn_resolutions: mults.flatMap((_, level) => (attends[level] ? [256 / 2 ** level] : [])),
      },
    }),
  );

test('any autoencoder: its names to diffusers and back; its architecture from either layout', () => {
  fc.assert(
    fc.property(autoencoders, fc.boolean(), (config, olderNames) => {
      const declared = new Map([
        ...parametersOf(traceKlEncode(config, { prefix: '' })),
        ...parametersOf(traceKlDecode(config, { prefix: '' })),
      ]);
      const map = autoencoderMap(config, { olderNames });
      assert.deepEqual(map.rows.map((row) => row.a).sort(), [...declared.keys()].sort());
      const file = shapedSource(declared);
      const there = renamed(file, map, 'a-to-b');
      assert.deepEqual(shapesOf(canonicalWeights(there, config).source), shapesOf(file));
      assert.deepEqual(inferCompVisAutoencoder(file.entries).config, config);
      assert.deepEqual(inferDiffusersAutoencoder(there.entries).config, config);
    }),
    { numRuns: 40, seed: 1 },
  );
});
