/** Sets up the training of a LoRA, DreamBooth or a textual inversion from a configuration and the model it names. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { conditionerPart } from '../../config/conditioner-parts.ts';
import { yamlOf } from '../../config/ldm-yaml.ts';
import type { Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { loadModel } from '../../model/load-model-node.ts';
import type { Model } from '../../model/model.ts';
import { textToImage } from '../../pipelines/text-to-image.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readTextIfThere } from '../../files/open-node.ts';
import { writeFileAtomic, writeText } from '../../files/write-file-node.ts';
import {
  type AdapterConfig,
  adapterConfig,
  type ControlTrainingConfig,
  loraSettings,
  type PriorConfig,
} from './adapter-config.ts';
import type { AdapterModelOptions } from './adapter-trainee.ts';
import { createControlTrainee } from './control.ts';
import { type OpenedControl, openControlTraining } from './control-files-node.ts';
import { createDreamBoothTrainee } from './dreambooth.ts';
import { createLoraTrainee } from './lora.ts';
import { createTextualInversionTrainee } from './textual-inversion.ts';
import type { TrainingEvent } from '../loop-options.ts';
import { lossVariantsOf, optimiserOf } from '../section-options.ts';
import type { SetUp, TraineeContext } from '../set-up.ts';
import type { Trainee } from '../trainee.ts';
import { isHiddenName } from '../../files/hidden-name.ts';

/** The file name of the result. */
const outputNames: Readonly<Record<AdapterConfig['kind'], string>> = {
  Lora: 'lora.safetensors',
  DreamBooth: 'model.safetensors',
  TextualInversion: 'embedding.safetensors',
  ControlNet: 'controlnet.safetensors',
  T2IAdapter: 't2i-adapter.safetensors',
};

const isControl = (adapter: AdapterConfig): adapter is ControlTrainingConfig =>
  adapter.kind === 'ControlNet' || adapter.kind === 'T2IAdapter';

const instancePromptOf = (adapter: AdapterConfig): string | undefined =>
  'instance_prompt' in adapter ? adapter.instance_prompt : undefined;

const priorOf = (adapter: AdapterConfig): PriorConfig | undefined => ('prior' in adapter ? adapter.prior : undefined);

function modelOptions(
  adapter: AdapterConfig,
  { config: { training, loop }, engine, ranks }: TraineeContext,
  model: Model,
  size: number,
): AdapterModelOptions {
  const instance = instancePromptOf(adapter);
  const prior = priorOf(adapter);
  const samples = training.sample_prompts.length > 0 || isControl(adapter);
  const prompt =
    instance === undefined
      ? undefined
      : (item: { readonly caption: string; readonly metadata: Readonly<Record<string, unknown>> }): string =>
          item.metadata['prior'] === true ? item.caption : instance;
  return {
    engine,
    checkpoint: model.checkpoint,
    tokenizer: model.tokenizer as ClipTokenizer,
    secondTokenizer: model.tokenizers.get(conditionerPart(1)) as ClipTokenizer | undefined,
    diffusion: lossVariantsOf(training),
    optimiser: optimiserOf(training),
    weightDecay: training.weight_decay,
    clipNorm: loop.clipNorm,
    checkpointing: training.checkpointing,
    ranks,
    clipSkip: adapter.clip_skip,
    conditionDropout: adapter.condition_dropout,
    ...(prompt ? { prompt } : {}),
    ...(prior ? { prior: { weight: prior.weight } } : {}),
    ...(samples
      ? {
          samples: {
            prompts: training.sample_prompts,
            steps: training.sample_steps,
            guidanceScale: training.sample_scale,
            seed: training.sample_seed,
            width: size,
            height: size,
          },
        }
      : {}),
  };
}

function create(
  adapter: AdapterConfig,
  options: AdapterModelOptions,
  { training: { seed, sample_count } }: TraineeContext['config'],
  opened: OpenedControl | undefined,
): Promise<Trainee<Tensors>> {
  switch (adapter.kind) {
    case 'Lora': {
      const { unet, text, dropout, layout, dtype, text_lr_scale } = adapter;
      return createLoraTrainee({
        ...options,
        unet: unet === false ? false : loraSettings(unet),
        ...(text === false ? {} : { text: loraSettings(text) }),
        textLearningRateScale: text_lr_scale,
        dropout,
        seed,
        output: { layout, dtype },
      });
    }
    case 'DreamBooth':
      return createDreamBoothTrainee({
        ...options,
        trainText: adapter.train_text,
        textLearningRateScale: adapter.text_lr_scale,
      });
    case 'TextualInversion': {
      const { token, initializer, vectors, templates } = adapter;
      return createTextualInversionTrainee({ ...options, token, initializer, vectors, templates });
    }
    case 'ControlNet':
    case 'T2IAdapter':
      return createControlTrainee({
        ...options,
        ...opened,
        kind: adapter.kind === 'ControlNet' ? 'controlnet' : 't2i_adapter',
        adapterType: adapter.kind === 'T2IAdapter' ? adapter.adapter_type : 'full',
        hintChannels: adapter.hint_channels,
        seed,
        dtype: adapter.dtype,
        sampleCount: sample_count,
      });
  }
}

/** Makes the pictures of the class that the folder lacks; each has a seed of its own, so that a broken-off run makes the others. */
async function* makePriorPictures(
  { data_root: folder, prompt, count, steps, scale, seed }: PriorConfig,
  model: Model,
  size: number,
  { codec }: TraineeContext,
): AsyncGenerator<TrainingEvent, void, void> {
  await makeFolder(folder);
  const there = (await readdir(folder)).filter((name) => !isHiddenName(name) && /\.(?:png|jpe?g|webp)$/i.test(name));
  const names = new Set(there);
  let done = there.length;
  for (let i = 0; done < count; i++) {
    const name = `class-${String(i).padStart(5, '0')}`;
    if (names.has(`${name}.png`)) continue;
    for await (const event of textToImage(model, {
      prompt,
      steps,
      guidanceScale: scale,
      seed: seed + i,
      width: size,
      height: size,
      watermark: false,
      safety: false,
    })) {
      if (event.kind !== 'result') continue;
      const [made] = event.images;
      if (!made) throw new StableDiffusionError('engine-failed', 'The model returned no picture.');
      await writeText(join(folder, `${name}.txt`), prompt);
      await writeFileAtomic(join(folder, `${name}.png`), [await codec.encode(made.image, { format: 'png' })]);
    }
    yield { kind: 'class-pictures', done: ++done, total: count };
  }
}

/** The YAML for the fine-tuned model: the one next to a file, else one that says the same. */
const yamlFor = async (path: string, { config }: Model['checkpoint']): Promise<string | undefined> =>
  (isWeightsFile(path) ? await readTextIfThere('configuration', path.replace(/\.[^./\\]+$/, '.yaml')) : undefined) ??
  yamlOf(config);
const isWeightsFile = (path: string): boolean => /\.(?:safetensors|ckpt|pth?|bin|gguf)$/i.test(path);

/** Opens the model and compiles the step. */
export async function adapterSetUp(context: TraineeContext): Promise<SetUp<Tensors>> {
  const { label, config: run, engine } = context;
  const adapter = adapterConfig(run.model, `model of ${label}`);
  const model = await loadModel(adapter.ckpt_path, { engine });
  try {
    const size = run.train.size ?? model.nativeSize;
    const opened = isControl(adapter) ? await openControlTraining(adapter, engine) : undefined;
    const trainee = await create(adapter, modelOptions(adapter, context, model, size), run, opened);
    const config = adapter.kind === 'DreamBooth' ? await yamlFor(adapter.ckpt_path, model.checkpoint) : undefined;
    const prior = priorOf(adapter);
    return {
      trainee,
      size,
      fresh: [],
      ...(instancePromptOf(adapter) === undefined && adapter.kind !== 'TextualInversion'
        ? {}
        : { missingCaption: { caption: '' } }),
      ...(isControl(adapter) ? { maps: { required: adapter.annotator === undefined } } : {}),
      output: { name: outputNames[adapter.kind], config },
      ...(prior
        ? { prior: { data_root: prior.data_root, make: () => makePriorPictures(prior, model, size, context) } }
        : {}),
      async close() {
        await trainee[Symbol.asyncDispose]();
        await opened?.close();
        await model.dispose();
      },
    };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}
