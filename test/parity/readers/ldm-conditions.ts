/** Models of CompVis's zoo with a map, or boxes, as their condition. */

import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { patchedNetwork } from '../../../src/diffusion/patched-network.ts';
import { boxTokens } from '../../../src/conditioning/box-tokens.ts';
import { runForOne } from '../../../src/model/network-set.ts';
import { expectDType, int64, type Tensor } from '../../../src/tensor/tensor.ts';
import { withNames } from '../../../src/weights/view.ts';
import { type LineageCase, timestepsOf } from '../lineage-case.ts';
import type { Comparison } from '../reader.ts';
import { channelsFirst, conditioned, firstOf, zooConfig, zooDdim, zooLoss, zooModel, zooSteps } from '../zoo-model.ts';
import { lineageReader } from '../lineage-reader.ts';

type Compare = (recorded: LineageCase) => AsyncIterable<Comparison>;

/** The first stage is that of the super-resolution case. */
const stageFrom = '../ldm_superres/weights';

const semantic: Compare = async function* (recorded) {
  const weights = firstOf([recorded.weights('cond', undefined), recorded.weights('weights', stageFrom)]);
  const model = await zooModel(recorded, weights);
  const map = channelsFirst(recorded.tensor('segmentation'));
  const z = await model.autoencoder.encode(channelsFirst(recorded.tensor('image')));
  yield recorded.compare('z', z);
  yield recorded.compare('map_nchw', map);
  const concat = await runForOne(model.networks, { network: 'cond_stage', output: 'out' }, { x: map });
  yield recorded.compare('condition', concat);
  const inputs = { x0: z, noise: recorded.input('loss_noise'), t: recorded.tensor('t') };
  yield* zooLoss(recorded, zooConfig(recorded), weights, inputs, { map });
  const { steps, eta = 0 } = recorded.settings;
  const made = await zooDdim(recorded, conditioned(model, { concat }), steps, { eta });
  yield* zooSteps(recorded, 'ddim', made);
  yield recorded.compare('picture', await model.decodeLatent(made.latents.at(-1) as Latent));
  await model.networks.dispose();
};

const layout: Compare = async function* (recorded) {
  const weights = firstOf([
    recorded.weights('weights', './weights'),
    withNames(recorded.weights('weights', stageFrom), (name) =>
      name.startsWith('first_stage_model.') ? name : undefined,
    ),
  ]);
  const model = await zooModel(recorded, weights);
  const ids = recorded.tensor('ids');
  const encode = (rows: Tensor): Promise<Latent> =>
    runForOne(model.networks, { network: 'cond_stage', output: 'embeddings' }, { tokens: rows });
  const z = await model.autoencoder.encode(channelsFirst(recorded.tensor('image')));
  yield recorded.compare('z', z);
  const context = await encode(ids);
  yield recorded.compare('condition', context);
  const inputs = { x0: z, noise: recorded.input('loss_noise'), t: recorded.tensor('t') };
  yield* zooLoss(recorded, zooConfig(recorded), weights, inputs, { input_ids: ids });
  const count = [...recorded.outputs.keys()].filter((name) => /^ddim\.x\d+$/.test(name)).length;
  yield* zooSteps(recorded, 'ddim', await zooDdim(recorded, conditioned(model, { context }), count, { eta: 0 }));
  const { patch_ks: size, patch_stride: stride, no_tokens: tokens } = recorded.settings;
  const first = Array.from(ids.data, Number).slice(0, ids.shape[1]);
  const x = recorded.input('patched_x');
  const given = { x, timesteps: timestepsOf(Array.from(recorded.tensor('patched_t').data, Number)) };
  const one = await encode(int64([1, first.length], first));
  const predict = (...args: Parameters<typeof model.predict>) => model.predict(...args);
  const patched = patchedNetwork(predict, {
    patches: { size, stride },
    conditionAt: async (window) => ({
      context: await encode(int64([1, first.length], [...first.slice(0, -2), ...boxTokens(window, { tokens })])),
    }),
  });
  yield recorded.compare('patched.eps', await patched({ ...given, context: one }));
  yield recorded.compare('plain.eps', expectDType(await predict({ ...given, context: one }), 'float32'));
  await model.networks.dispose();
};

export const reader = lineageReader([
  [/^semantic maps/, semantic],
  [/^box ids through BERTEmbedder/, layout],
]);
