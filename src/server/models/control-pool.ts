/** ControlPool: control networks that stay open for the loaded models, and the networks of preprocessors; both bounded in memory. */

import type { Engine } from '../../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { type ControlLease, createKeptControls } from '../../model/kept-controls.ts';
import { noControlModel } from '../../diffusion/control/reference-modes.ts';
import { referenceControl } from '../../model/reference-control.ts';
import { loadControl } from '../../model/load-control-node.ts';
import type { Model } from '../../model/model.ts';
import { createAnnotator, type OpenAnnotator, readAnnotator } from '../../preprocessors/index.ts';
import { createTurns } from '../run/turns.ts';
import type { ControlCatalog, ControlEncoder } from './control-catalog.ts';

export interface ControlPool {
  /** The control network of a title, opened for a model. Throws `not-found`, and as `loadControl`. */
  acquire(model: Model, title: string): Promise<ControlLease>;
  /** The image encoder that it takes; undefined for one that takes a map. Throws `not-found`. */
  encoderOf(title: string): Promise<ControlEncoder | undefined>;
  /** Runs `work` with the network of a preprocessor, one piece of work at a time, in turn among callers. Throws `not-found`, `aborted`. */
  withAnnotator<T>(
    kind: string,
    caller: { readonly owner: string; readonly signal: AbortSignal },
    work: (annotator: OpenAnnotator) => Promise<T>,
  ): Promise<T>;
  /** Closes what is open for a model, before the model is. */
  release(model: Model): Promise<void>;
  close(): Promise<void>;
}

/** Bytes of weights in float32 that stay open: two ControlNets of Stable Diffusion v1. */
const keptBytes = 3 * 2 ** 30;

/** One network of a preprocessor at a time stays open. */
function annotatorKeeper(
  engine: Engine,
  controls: ControlCatalog,
): { readonly run: ControlPool['withAnnotator']; readonly close: () => Promise<void> } {
  let open: OpenAnnotator | undefined;
  const turns = createTurns(1, 1);
  const drop = async (): Promise<void> => {
    const old = open;
    open = undefined;
    await old?.[Symbol.asyncDispose]();
  };
  const annotatorOf = async (kind: string): Promise<OpenAnnotator> => {
    if (open?.kind === kind) return open;
    await drop();
    const path = controls.annotatorPath(kind);
    if (path === undefined) throw new StableDiffusionError('not-found', `The server has no network ${kind}.`);
    open = createAnnotator(engine, readAnnotator(await openWeightsAt(path)));
    return open;
  };
  return {
    run: async (kind, { owner, signal }, work) => {
      const end = await turns.take(owner, signal);
      const begun = performance.now();
      try {
        throwIfAborted(signal);
        return await work(await annotatorOf(kind));
      } finally {
        end([[owner, performance.now() - begun]]);
      }
    },
    close: drop,
  };
}

export function createControlPool({
  engine,
  controls,
}: {
  readonly engine: Engine;
  readonly controls: ControlCatalog;
}): ControlPool {
  const kept = createKeptControls({ limit: keptBytes });
  const annotators = annotatorKeeper(engine, controls);
  const encoderOf = async (title: string): Promise<ControlEncoder | undefined> => {
    if (title === noControlModel) return undefined;
    const facts = await controls.facts(controls.find(title));
    return facts.encoderWidth && controls.encoderFor(facts);
  };
  return {
    encoderOf,
    async acquire(model, title) {
      if (title === noControlModel) return { control: referenceControl, release() {} };
      const path = controls.pathOf(controls.find(title));
      const encoder = await encoderOf(title);
      const key = JSON.stringify([path, encoder?.path]);
      return kept.acquire(model, key, () => loadControl(model, path, { imageEncoder: encoder?.path }));
    },
    withAnnotator: (kind, caller, work) => annotators.run(kind, caller, work),
    release: (model) => kept.release(model),
    async close() {
      await annotators.close();
      await kept[Symbol.asyncDispose]();
    },
  };
}
