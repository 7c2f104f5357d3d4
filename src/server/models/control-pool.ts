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
import {
  type FaceRestorerTitle,
  readFaceDetector,
  readFaceParser,
  readFaceRestorer,
} from '../../models/faces/index.ts';
import { createFaceRestorer, type FaceRestorer } from '../../upscaling/faces/restore-faces.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { detectorKind, parserKind, restorerKind } from './face-networks.ts';
import { createTurns } from '../run/turns.ts';
import type { ControlCatalog, ControlEncoder } from './control-catalog.ts';

interface ControlCaller {
  readonly owner: string;
  readonly signal: AbortSignal;
}

export interface ControlPool {
  /** The control network of a title, opened for a model. Throws `not-found`, and as `loadControl`. */
  acquire(model: Model, title: string): Promise<ControlLease>;
  /** The image encoder that it takes; undefined for one that takes a map. Throws `not-found`. */
  encoderOf(title: string): Promise<ControlEncoder | undefined>;
  /** Runs `work` with the network of a preprocessor, one piece of work at a time, in turn among callers. Throws `not-found`, `aborted`. */
  withAnnotator<T>(kind: string, caller: ControlCaller, work: (annotator: OpenAnnotator) => Promise<T>): Promise<T>;
  /** The same with the networks that find and restore faces, and one that parses them where the server has it. */
  withFaceRestorer<T>(
    title: FaceRestorerTitle,
    caller: ControlCaller,
    work: (restorer: FaceRestorer) => Promise<T>,
  ): Promise<T>;
  /** The same with what `open` opens of the server's networks, kept under `key`. */
  withNetwork<H extends AsyncDisposable, T>(
    key: string,
    open: (engine: Engine, pathOf: (kind: string) => string) => Promise<H>,
    caller: ControlCaller,
    work: (network: H) => Promise<T>,
  ): Promise<T>;
  /** Closes what is open for a model, before the model is. */
  release(model: Model): Promise<void>;
  close(): Promise<void>;
}

/** Bytes of weights in float32 that stay open: two ControlNets of Stable Diffusion v1. */
const keptBytes = 3 * 2 ** 30;

interface Helper {
  readonly key: string;
  readonly value: AsyncDisposable;
}

interface HelperKeeper {
  /** Runs `work` with what `open` opens, kept under `key` for the next; one piece of work at a time. */
  run<H extends AsyncDisposable, T>(
    key: string,
    open: () => Promise<H>,
    caller: ControlCaller,
    work: (helper: H) => Promise<T>,
  ): Promise<T>;
  close(): Promise<void>;
}

/** One network besides the models at a time stays open. */
function helperKeeper(): HelperKeeper {
  let kept: Helper | undefined;
  const turns = createTurns(1, 1);
  const drop = async (): Promise<void> => {
    const old = kept;
    kept = undefined;
    await old?.value[Symbol.asyncDispose]();
  };
  return {
    async run<H extends AsyncDisposable, T>(
      key: string,
      open: () => Promise<H>,
      { owner, signal }: ControlCaller,
      work: (helper: H) => Promise<T>,
    ): Promise<T> {
      const end = await turns.take(owner, signal);
      const begun = performance.now();
      try {
        throwIfAborted(signal);
        if (kept?.key !== key) {
          await drop();
          kept = { key, value: await open() };
        }
        return await work(kept.value as H);
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
  const helpers = helperKeeper();
  const pathOf = (kind: string): string => {
    const path = controls.annotatorPath(kind);
    if (path === undefined) throw new StableDiffusionError('not-found', `The server has no network ${kind}.`);
    return path;
  };
  const sourceOf = async (kind: string): Promise<WeightSource> => openWeightsAt(pathOf(kind));
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
    withAnnotator: (kind, caller, work) =>
      helpers.run(kind, async () => createAnnotator(engine, readAnnotator(await sourceOf(kind))), caller, work),
    withFaceRestorer(title, caller, work) {
      const parses = controls.annotatorPath(parserKind) !== undefined;
      const open = async (): Promise<FaceRestorer> =>
        createFaceRestorer(engine, {
          detector: readFaceDetector(await sourceOf(detectorKind)),
          restorer: readFaceRestorer(await sourceOf(restorerKind(title))),
          ...(parses ? { parser: readFaceParser(await sourceOf(parserKind)) } : {}),
        });
      return helpers.run(`faces ${title} ${parses}`, open, caller, work);
    },
    withNetwork: (key, open, caller, work) => helpers.run(key, () => open(engine, pathOf), caller, work),
    release: (model) => kept.release(model),
    async close() {
      await helpers.close();
      await kept[Symbol.asyncDispose]();
    },
  };
}
