/** Loads a model with LoRAs, hypernetworks and with those textual inversions of the catalogue that fit it: a folder holds them for models of several kinds. */

import type { Engine } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { checkpointFactsAt } from '../../model/checkpoint-facts-node.ts';
import { type LoadModelOptions, loadModel } from '../../model/load-model-node.ts';
import type { Model } from '../../model/model.ts';
import type { LoraUse } from '../extra-networks.ts';
import type { AdapterCatalog } from './adapter-catalog.ts';

/** Errors as `loadModel`, and `not-found` for a LoRA that is not in the catalogue. */
export async function loadAdapted(
  path: string,
  loras: readonly LoraUse[],
  adapters: AdapterCatalog,
  how: Pick<LoadModelOptions, 'precision' | 'memory' | 'vae'> & { readonly engine: Engine },
): Promise<Model> {
  const options = {
    ...how,
    loras: loras
      .filter(({ kind }) => kind === undefined)
      .map(({ name, kind: _, ...strength }) => ({ ...strength, path: adapters.loraPath(name) })),
    hypernetworks: loras
      .filter(({ kind }) => kind === 'hypernetwork')
      .map(({ name, scale }) => ({ scale, path: adapters.hypernetworkPath(name) })),
  };
  const embeddings =
    adapters.embeddings().length === 0
      ? []
      : adapters.embeddingPaths((await checkpointFactsAt(path, how.vae)).embeddingWidth);
  try {
    return await loadModel(path, { ...options, embeddings });
  } catch (error) {
    if (embeddings.length === 0 || !(error instanceof StableDiffusionError)) throw error;
  }
  const fitting: (typeof embeddings)[number][] = [];
  for (const embedding of embeddings) {
    // Opening reads only the header, no weights.
    const tried = await loadModel(path, { ...how, embeddings: [embedding] }).catch(() => undefined);
    if (tried) fitting.push(embedding);
    await tried?.dispose();
  }
  return loadModel(path, { ...options, embeddings: fitting });
}
