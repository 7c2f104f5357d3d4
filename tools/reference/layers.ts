/** Block of docs/architecture.md: the layers, from the rule that `tools/check-layers.ts` checks. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Block, code, table } from './block.ts';
import { sourceOf } from './doc-comments.ts';

/** What each folder of src/ is for. */
const purposes: Readonly<Record<string, string>> = {
  cli: 'the command `sd`',
  server: 'the HTTP server: APIs, queue, workers',
  workflow: 'graphs of nodes over the pipelines',
  upscaling: 'enlarging pictures with ESRGAN and its kind',
  preprocessors: 'maps of pictures for control networks: edges, lines, depth, poses',
  describing: 'words for pictures: captions, tags, words of lists that fit',
  worker: 'running pipelines in a web worker',
  pipelines: 'a whole run: text to image, image to image, inpainting',
  training: 'training loop, losses, data sets',
  evaluation: 'FID, CLIP score, PSNR and the like',
  generation: 'the request: what to generate',
  model: 'a loaded model: its networks, autoencoder, safety checker',
  conditioning: 'prompts, classes and pictures to network inputs',
  diffusion: 'schedules, guidance, samplers; latents only, no network',
  models: 'the networks, as functions of parameters and inputs',
  nn: 'layers',
  extensions: 'additions to a network: control networks, adapters',
  engine: 'running graphs; the only folder that imports ONNX Runtime',
  onnx: 'graphs to ONNX',
  graph: 'symbolic tensors, shapes, gradients; no data',
  prompt: "A1111's prompt syntax",
  merging: 'merging checkpoints',
  adapters: 'LoRA, textual inversion',
  checkpoints: 'names and layouts of checkpoints, detection of networks',
  formats: 'safetensors, torch files, protobuf',
  weights: 'lazy sources of named tensors',
  hub: 'models by name from the network',
  config: 'configurations of networks, LDM YAML, diffusers JSON',
  tokenizer: "CLIP's and BERT's tokenizers",
  image: 'pixels, PNG, JPEG, metadata',
  random: 'random generators and noise conventions',
  plot: 'line charts',
  files: 'reading and writing files safely',
  tensor: 'tensors and arithmetic',
  distributed: 'processes that work together',
  arguments: 'what callers of the library give, checked',
  visible: 'making untrusted text safe to print',
  errors: 'the error class',
};

/** A constant of check-layers.ts; importing the file would run the check. */
function constant(name: string): string {
  const found = new RegExp(`const ${name}[^=]*= ([\\s\\S]*?);\\n`).exec(sourceOf('tools/check-layers.ts'))?.[1];
  if (found === undefined) throw new Error(`tools/check-layers.ts has no constant ${name}.`);
  return found;
}

const words = (text: string): string[] => [...text.matchAll(/'([\w-]+)'/g)].map(([, word = '']) => word);

export const layerBlocks: Readonly<Record<string, Block>> = {
  layers: () => {
    const root = join(import.meta.dirname, '../../src');
    const present = new Set(readdirSync(root).map((name) => name.replace(/\.ts$/, '')));
    const within = [...constant('within').matchAll(/(\w+): \[([^\]]*)\]/g)].map(
      ([, folder = '', list = '']) => [folder, words(list)] as const,
    );
    const rows = [...constant('layers').matchAll(/^ {2}\[([^\]]*)\]/gm)].map(([, row = '']) =>
      words(row).filter((folder) => present.has(folder)),
    );
    return table(
      ['folder', 'purpose', 'may also import'],
      rows.flat().map((folder) => {
        const purpose = purposes[folder];
        if (purpose === undefined) throw new Error(`tools/reference/layers.ts does not say what ${folder} is for.`);
        return [code(folder), purpose, (within.find(([name]) => name === folder)?.[1] ?? []).map(code).join(', ')];
      }),
    );
  },
};
