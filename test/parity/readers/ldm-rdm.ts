/** Retrieval: CLIP's text condition, exact search in a database of files, neighbours behind the text, DDIM with zeros as the empty condition. */

import { join } from 'node:path';
import { joinNeighbours, nearestRows } from '../../../src/conditioning/retrieval.ts';
import { ldmNetwork } from '../../../src/config/ldm-network.ts';
import type { ClipTextEmbedderConfig, OpenAiClipConfig } from '../../../src/config/network-config.ts';
import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { openRetrievalDatabase } from '../../../src/model/load-retrieval-node.ts';
import { traceClipTextEmbedder } from '../../../src/models/clip-embedders.ts';
import { expectDType, type Tensor, zeros } from '../../../src/tensor/tensor.ts';
import { withNames } from '../../../src/weights/view.ts';
import { compileGraph, type LineageCase, lineageCase } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';
import { conditioned, zooDdim, zooModel, zooSteps } from '../zoo-model.ts';

async function embeddings(
  recorded: LineageCase,
  options: Partial<ClipTextEmbedderConfig> = {},
): Promise<Tensor<'float32'>> {
  const model = ldmNetwork({ target: 'clip.model.CLIP', params: recorded.settings.clip }, 'CLIP') as OpenAiClipConfig;
  const config: ClipTextEmbedderConfig = {
    kind: 'clip_text_embedder',
    model,
    max_length: model.context_length,
    n_repeat: 1,
    normalize: true,
    ...options,
  };
  const weights = withNames(recorded.weights('clip', undefined), (name) =>
    name.startsWith('model.') ? name : `model.${name}`,
  );
  const program = await compileGraph(traceClipTextEmbedder(config), weights);
  const made = await program.run({ tokens: recorded.tensor('ids') });
  await program.dispose();
  return expectDType(made['embeddings'] as Tensor, 'float32');
}

async function* sampled(recorded: LineageCase, contexts: Readonly<Record<string, Latent>>): AsyncIterable<Comparison> {
  const { steps, scale } = recorded.settings;
  const prefix = String(recorded.row.weights_from).startsWith('model.') ? 'model.' : '';
  const from = String(recorded.row.weights_from).replace(/^.* of /, '');
  const weights = withNames(recorded.weights('weights', from), (name) => (name.startsWith(prefix) ? name : undefined));
  const model = await zooModel(recorded, weights);
  for (const [name, context] of Object.entries(contexts)) {
    const empty = { context: zeros('float32', context.shape) };
    const made = await zooDdim(recorded, conditioned(model, { context }, empty, scale), steps, { eta: 0 });
    yield* zooSteps(recorded, `ddim.${name}`, made);
    const output = 'ddim.scale1';
    if (name !== 'with_neighbours' || !recorded.outputs.has(output)) continue;
    const plain = await zooDdim(recorded, conditioned(model, { context }), steps, { eta: 0 });
    yield recorded.compare(output, plain.latents.at(-1) as Latent);
  }
  await model.networks.dispose();
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^retrieval: CLIP text condition/.test(String(row['exercises'])),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const { k } = recorded.settings;
    const text = await embeddings(recorded);
    yield recorded.compare('text', text);
    yield recorded.compare('text_unnormalized', await embeddings(recorded, { normalize: false }));
    for (const output of recorded.outputs.keys()) {
      const count = /^text_repeat(\d+)$/.exec(output)?.[1];
      if (count) yield recorded.compare(output, await embeddings(recorded, { n_repeat: Number(count) }));
    }
    const whole = await openRetrievalDatabase(join(recorded.folder, 'all.npz'));
    const found = nearestRows(whole, { ...text, shape: [text.shape[0] ?? 0, text.shape[2] ?? 0] }, k);
    yield recorded.compare('nns', found.rows);
    yield recorded.compare('nn_embeddings', found.embeddings);
    yield recorded.compare('patch_coords', found.patches);
    yield recorded.compare('q_embeddings', found.queries);
    const joined = joinNeighbours(text, { database: whole, count: k });
    yield recorded.compare('joined', joined);
    // A folder's files are joined by their names: the parts are all rows.
    const parts = await Promise.all(
      Object.keys(recorded.row.files)
        .filter((file) => /^part\d+\.npz$/.test(file))
        .sort()
        .map((file) => openRetrievalDatabase(join(recorded.folder, file))),
    );
    const all = { ...whole, parts: parts.flatMap((one) => one.parts) };
    yield recorded.compare('nns', nearestRows(all, found.queries, k).rows);
    const guided = { text_only: text, with_neighbours: joined };
    yield* sampled(recorded, guided);
  },
};
