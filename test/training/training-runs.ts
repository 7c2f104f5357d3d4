/** What the tests of training runs have in common: an engine, a folder with small pictures and captions, and runs from YAML over it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { withOverrides } from '../../src/config/overrides.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import type { TrainingEvent } from '../../src/training/loop-options.ts';
import { train, type TrainOptions } from '../../src/training/train-node.ts';
import { keepPrograms } from '../kept-programs.ts';

export { autoencoderYaml, ddconfig, diffusionYaml } from './tiny-yaml.ts';

export interface TrainingRuns {
  readonly engine: Engine;
  readonly folder: string;
  /** Six pictures of 20x16 pixels, `a red square` and so on, with the class in their metadata. */
  readonly pictures: string;
  options(yaml: string, run: string, overrides?: readonly string[]): TrainOptions;
  file(run: string, name: string): Buffer;
  /** The metrics of a run by step. */
  metrics(run: string): readonly Readonly<Record<string, number>>[];
}

export const colours = ['red', 'green', 'blue'] as const;

/** For a test file: engine and folder are gone when its tests are done. */
export async function trainingRuns(): Promise<TrainingRuns> {
  const engine = keepPrograms(createNodeEngine({ threads: 1 }));
  const folder = mkdtempSync(join(tmpdir(), 'training-'));
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const pictures = join(folder, 'pictures');
  mkdirSync(pictures);
  const rows: string[] = [];
  for (let i = 0; i < 6; i++) {
    const image = createImage(20, 16, 3);
    for (let at = 0; at < image.data.length; at++)
      image.data[at] = (at % 3 === i % 3 ? 200 : 20) + Math.trunc(at / 60) * 2 + 3 * i;
    writeFileSync(join(pictures, `${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
    rows.push(JSON.stringify({ file_name: `${i}.png`, text: `a ${colours[i % 3]} square`, class_label: i % 3 }));
  }
  writeFileSync(join(pictures, 'metadata.jsonl'), rows.join('\n'));
  const file = (run: string, name: string): Buffer => readFileSync(join(folder, run, name));
  return {
    engine,
    folder,
    pictures,
    options: (yaml, run, overrides = []) => ({
      document: withOverrides(parseYaml(yaml, 'test.yaml'), overrides),
      label: 'test.yaml',
      folder: join(folder, run),
      resume: true,
      engine,
      codec: nodeImageCodec,
      report: true,
      clock: () => 1_700_000_000_000,
    }),
    file,
    metrics: (run) =>
      file(run, 'metrics.jsonl')
        .toString()
        .trim()
        .split('\n')
        .map((line): Record<string, number> => JSON.parse(line)),
  };
}

/** All events of a run. */
export async function eventsOf(
  options: TrainOptions,
  each: (event: TrainingEvent) => void = () => {},
): Promise<TrainingEvent[]> {
  const out: TrainingEvent[] = [];
  for await (const event of train(options)) {
    out.push(event);
    each(event);
  }
  return out;
}

/** A run that is stopped after a step, as by Ctrl-C. */
export function stoppedAfter(step: number, options: TrainOptions): Promise<TrainingEvent[]> {
  const controller = new AbortController();
  return eventsOf({ ...options, signal: controller.signal }, (event) => {
    if (event.kind === 'step' && event.step === step) controller.abort();
  });
}
