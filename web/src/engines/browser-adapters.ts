/** LoRAs and textual inversions dropped on the page, for models in this browser. They hold until the page is closed. */

import { promptNetworks } from 'stable-diffusion-ts/prompt/lora-mentions.ts';
import { withoutComments } from 'stable-diffusion-ts/prompt/comments.ts';
import type { WorkerModelOptions } from 'stable-diffusion-ts/worker/protocol-web.ts';
import type { AdapterChoice } from './picture-engine.ts';

interface Own {
  readonly kind: AdapterChoice['kind'];
  readonly name: string;
  readonly file: File;
}

export class BrowserAdapters {
  readonly #own = new Map<string, Own>();

  add(adapter: Own): void {
    this.#own.set(adapter.name, adapter);
  }

  list(): readonly AdapterChoice[] {
    return [...this.#own.values()].map(({ kind, name }) => ({ kind, name, triggerWords: [] }));
  }

  /** What a model is loaded with for a prompt: the LoRAs that it names, and all textual inversions. Throws an Error for a LoRA that is not here. */
  of(prompt: string): Pick<WorkerModelOptions, 'loras' | 'embeddings'> {
    const loras = promptNetworks(withoutComments(prompt)).loras.map(({ name, scale, textScale }) => {
      const found = this.#own.get(name);
      if (found?.kind !== 'lora')
        throw new Error(`This browser does not have the LoRA ${name}: drop its file on this page.`);
      return { file: found.file, scale, textScale };
    });
    const embeddings = [...this.#own.values()]
      .filter(({ kind }) => kind === 'embedding')
      .map(({ file, name }) => ({ file, token: name }));
    return { ...(loras.length > 0 ? { loras } : {}), ...(embeddings.length > 0 ? { embeddings } : {}) };
  }
}

/** A name for what a model was loaded with: another one means that it is loaded again. */
export const adapterKey = ({ loras = [], embeddings = [] }: Pick<WorkerModelOptions, 'loras' | 'embeddings'>): string =>
  JSON.stringify([
    loras.map(({ file, ...strength }) => [(file as File).name, strength]),
    embeddings.map(({ token }) => token),
  ]);
