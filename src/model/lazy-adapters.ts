/** LoRAs, embeddings and hypernetworks in a module of their own: a page loads it only with the first model that has one of them. */

import type { AdaptedModel, Adapters } from './adapters.ts';

/** `withAdapters`, loaded when there are any. */
export async function lazyAdapters(
  model: Pick<AdaptedModel, 'checkpoint' | 'tokenizers'>,
  adapters: Adapters,
): Promise<AdaptedModel> {
  if (Object.values(adapters).every((list) => list.length === 0)) return { ...model, adapters: [], extensions: [] };
  const { withAdapters } = await import('./adapters.ts');
  return withAdapters(model, adapters);
}
