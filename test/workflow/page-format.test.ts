/** Workflows as ComfyUI's page saves them, in the format of its API: what only the page knows is resolved as the page does. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExactObject, parseExactJson, printExactJson } from '../../src/formats/exact-json.ts';
import { graphObject } from '../../src/workflow/graph.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { anyGraph, parseWorkflow } from '../../src/workflow/page/page-to-api.ts';

/** A number of a link, or none. */
type LinkId = number | null;

const input = (name: string, type: string, link: LinkId, widget?: string) => ({
  name,
  type,
  link,
  ...(widget && { widget: { name: widget } }),
});
const node = (id: number, type: string, more: Readonly<Record<string, unknown>> = {}) => ({
  id,
  type,
  mode: 0,
  ...more,
});
const outputs = (...types: string[]) => types.map((type) => ({ name: type, type }));

const loader = node(4, 'CheckpointLoaderSimple', {
  outputs: outputs('MODEL', 'CLIP', 'VAE'),
  widgets_values: ['a.safetensors'],
});
const text = (id: number, link: number, words: string, more: Readonly<Record<string, unknown>> = {}) =>
  node(id, 'CLIPTextEncode', {
    inputs: [input('clip', 'CLIP', link)],
    outputs: outputs('CONDITIONING'),
    widgets_values: [words],
    ...more,
  });

function converted(page: Readonly<Record<string, unknown>>, random = () => 0): Record<string, Record<string, unknown>> {
  const value = parseExactJson(JSON.stringify(page), 'page') as ExactObject;
  const graph = anyGraph(value, { nodes, random, now: new Date(2026, 10, 3, 4, 5, 6) });
  return JSON.parse(printExactJson(graphObject(graph))) as Record<string, Record<string, unknown>>;
}

const inputsOf = (page: Readonly<Record<string, unknown>>, id: string, random?: () => number): unknown =>
  converted(page, random)[id]?.['inputs'];

test('widgets get their names, and the control behind a seed is left out', () => {
  const sampler = (values: readonly unknown[]) => ({
    nodes: [node(3, 'KSampler', { widgets_values: values })],
    links: [],
  });
  const want = { seed: 5, steps: 9, cfg: 6.5, sampler_name: 'euler', scheduler: 'karras', denoise: 0.5 };
  assert.deepEqual(inputsOf(sampler([5, 'randomize', 9, 6.5, 'euler', 'karras', 0.5]), '3'), want);
  assert.deepEqual(inputsOf(sampler([5, true, 9, 6.5, 'sample_euler', 'karras', 0.5]), '3'), want, 'an old file');
  assert.deepEqual(inputsOf(sampler([5, 9, 6.5, 'euler', 'karras', 0.5]), '3'), want, 'a file without the control');
  const byName = {
    nodes: [node(3, 'EmptyLatentImage', { widgets_values: { width: 64, height: 32, other: 1 } })],
    links: [],
  };
  assert.deepEqual(inputsOf(byName, '3'), { width: 64, height: 32, batch_size: 1 });
});

test('a widget that an older file has no value for has that of a new node', () => {
  const page = { nodes: [node(3, 'VAEEncodeForInpaint', { widgets_values: [] })], links: [] };
  assert.deepEqual(inputsOf(page, '3'), { grow_mask_by: 6 });
});

test('a seed beyond 2^53 keeps its digits', () => {
  const page = `{"nodes":[{"id":1,"type":"RandomNoise","widgets_values":[18446744073709551615,"fixed"]}],"links":[]}`;
  const [[, noise] = []] = [...parseWorkflow(page, { nodes })];
  assert.equal(noise?.inputs['noise_seed'], 18446744073709551615n);
});

test('a text with choices is sent with one of them, without comments', () => {
  const page = { nodes: [text(1, 0, 'a {red|{light|dark} green} door /* old */ \\{x\\} // end')], links: [] };
  assert.deepEqual(
    inputsOf(page, '1', () => 0),
    { text: 'a red door  {x} ' },
  );
  assert.deepEqual(
    inputsOf(page, '1', () => 0.9),
    { text: 'a dark green door  {x} ' },
  );
});

test('names of files know the date and the widgets of other nodes', () => {
  const save = node(9, 'SaveImage', { widgets_values: ['%date:yyyy-MM-dd hh_mm%/%KSampler.seed%_%width%_%None.x%'] });
  const sampler = node(3, 'KSampler', {
    properties: { 'Node name for S&R': 'KSampler' },
    widgets_values: [77, 'fixed'],
  });
  assert.deepEqual(inputsOf({ nodes: [save, sampler], links: [] }, '9'), {
    filename_prefix: '2026-11-03 04_05/77_%width%_%None.x%',
  });
});

test('reroutes are passed, notes are left out, and a converted widget is the link', () => {
  const page = {
    nodes: [
      loader,
      node(20, 'Reroute', { inputs: [input('', '*', 1)], outputs: outputs('CLIP') }),
      node(21, 'Reroute', { inputs: [input('', '*', 2)], outputs: outputs('CLIP') }),
      text(6, 3, 'unused', { inputs: [input('clip', 'CLIP', 3), input('text', 'STRING', 4, 'text')] }),
      node(22, 'Note', { widgets_values: ['a note'] }),
      node(23, 'MarkdownNote', { widgets_values: ['a note'] }),
      node(24, 'PreviewAny', { outputs: outputs('STRING') }),
    ],
    links: [
      [1, 4, 1, 20, 0, 'CLIP'],
      [2, 20, 0, 21, 0, 'CLIP'],
      [3, 21, 0, 6, 0, 'CLIP'],
      [4, 24, 0, 6, 1, 'STRING'],
    ],
  };
  const graph = converted(page);
  assert.deepEqual(Object.keys(graph), ['4', '6', '24']);
  assert.deepEqual(graph['6']?.['inputs'], { text: ['24', 0], clip: ['4', 1] });
  assert.deepEqual(graph['4']?.['_meta'], { title: 'Load Checkpoint' });
});

test('a primitive gives its value to the widgets that it is linked to', () => {
  const page = {
    nodes: [
      node(1, 'PrimitiveNode', { outputs: outputs('INT'), widgets_values: [320, 'fixed'] }),
      node(2, 'Reroute', { inputs: [input('', '*', 2)] }),
      node(5, 'EmptyLatentImage', {
        inputs: [input('width', 'INT', 1, 'width'), input('height', 'INT', 3, 'height')],
        widgets_values: [64, 64, 2],
      }),
    ],
    links: [
      [1, 1, 0, 5, 0, 'INT'],
      [2, 1, 0, 2, 0, 'INT'],
      [3, 2, 0, 5, 1, 'INT'],
    ],
  };
  assert.deepEqual(converted(page), {
    5: {
      inputs: { width: 320, height: 320, batch_size: 2 },
      class_type: 'EmptyLatentImage',
      _meta: { title: 'Empty Latent Image' },
    },
  });
});

test('a bypassed node passes on the input of the type, and a muted one nothing', () => {
  const lora = (mode: number) =>
    node(10, 'LoraLoader', {
      mode,
      inputs: [input('model', 'MODEL', 1), input('clip', 'CLIP', 2)],
      outputs: outputs('MODEL', 'CLIP'),
      widgets_values: ['x.safetensors', 1, 1],
    });
  const page = (mode: number) => ({
    nodes: [loader, lora(mode), text(6, 3, 'a fox')],
    links: [
      [1, 4, 0, 10, 0, 'MODEL'],
      [2, 4, 1, 10, 1, 'CLIP'],
      [3, 10, 1, 6, 0, 'CLIP'],
    ],
  });
  assert.deepEqual(inputsOf(page(0), '6'), { text: 'a fox', clip: ['10', 1] });
  assert.deepEqual(inputsOf(page(4), '6'), { text: 'a fox', clip: ['4', 1] });
  assert.deepEqual(inputsOf(page(2), '6'), { text: 'a fox' });
  assert.deepEqual(Object.keys(converted(page(4))), ['4', '6']);
});

const subgraph = {
  id: 'b7a2',
  inputs: [
    { name: 'clip', type: 'CLIP' },
    { name: 'text', type: 'STRING' },
  ],
  outputs: [{ name: 'CONDITIONING', type: 'CONDITIONING' }],
  nodes: [text(1, 1, 'inside', { inputs: [input('clip', 'CLIP', 1), input('text', 'STRING', 2, 'text')] })],
  links: [
    { id: 1, origin_id: -10, origin_slot: 0, target_id: 1, target_slot: 0, type: 'CLIP' },
    { id: 2, origin_id: -10, origin_slot: 1, target_id: 1, target_slot: 1, type: 'STRING' },
    { id: 3, origin_id: 1, origin_slot: 0, target_id: -20, target_slot: 0, type: 'CONDITIONING' },
  ],
};

test('nodes of a subgraph run under the id of its node, with its inputs and the values of its widgets', () => {
  const page = (more: Readonly<Record<string, unknown>>) => ({
    nodes: [
      loader,
      node(30, 'b7a2', {
        inputs: [input('clip', 'CLIP', 1), input('text', 'STRING', null, 'text')],
        outputs: outputs('CONDITIONING'),
        ...more,
      }),
      node(31, 'ConditioningZeroOut', { inputs: [input('conditioning', 'CONDITIONING', 2)] }),
    ],
    links: [
      [1, 4, 1, 30, 0, 'CLIP'],
      [2, 30, 0, 31, 0, 'CONDITIONING'],
    ],
    definitions: { subgraphs: [subgraph] },
  });
  const graph = converted(page({ widgets_values: ['outside'] }));
  assert.deepEqual(Object.keys(graph), ['4', '31', '30:1']);
  assert.deepEqual(graph['30:1']?.['inputs'], { text: 'outside', clip: ['4', 1] });
  assert.deepEqual(graph['31']?.['inputs'], { conditioning: ['30:1', 0] });
  assert.deepEqual(inputsOf(page({ properties: { proxyWidgets: [['1', 'text']] }, widgets_values: ['x'] }), '30:1'), {
    text: 'inside',
    clip: ['4', 1],
  });
  assert.deepEqual(Object.keys(converted(page({ mode: 2 }))), ['4', '31']);
});

test('a subgraph that lies in itself is refused', () => {
  const self = { ...subgraph, nodes: [node(1, 'b7a2')], links: [] };
  assert.throws(() => converted({ nodes: [node(1, 'b7a2')], links: [], definitions: { subgraphs: [self] } }), {
    code: 'invalid-argument',
  });
});

test('nodes of a group node have the widgets of its node, one after another', () => {
  const group = {
    nodes: [
      { type: 'EmptyLatentImage', inputs: [], outputs: outputs('LATENT'), widgets_values: [1, 1, 1] },
      {
        type: 'KSampler',
        inputs: ['model', 'positive', 'negative', 'latent_image'].map((name, i) =>
          input(name, ['MODEL', 'CONDITIONING', 'CONDITIONING', 'LATENT'][i] as string, null),
        ),
        outputs: outputs('LATENT'),
        widgets_values: [],
      },
    ],
    links: [[0, 0, 1, 3, 7, 'LATENT']],
    external: [],
  };
  const page = {
    nodes: [
      loader,
      node(40, 'workflow>both', {
        inputs: [input('model', 'MODEL', 1), input('positive', 'CONDITIONING', 2)],
        outputs: outputs('LATENT'),
        widgets_values: [64, 32, 2, 9, 'fixed', 4, 7, 'ddim', 'simple', 0.5],
      }),
      node(41, 'VAEDecode', { inputs: [input('samples', 'LATENT', 3), input('vae', 'VAE', 4)] }),
      text(6, 5, 'a fox'),
    ],
    links: [
      [1, 4, 0, 40, 0, 'MODEL'],
      [2, 6, 0, 40, 1, 'CONDITIONING'],
      [3, 40, 0, 41, 0, 'LATENT'],
      [4, 4, 2, 41, 1, 'VAE'],
      [5, 4, 1, 6, 0, 'CLIP'],
    ],
    extra: { groupNodes: { both: group } },
  };
  const graph = converted(page);
  assert.deepEqual(graph['40:0']?.['inputs'], { width: 64, height: 32, batch_size: 2 });
  assert.deepEqual(graph['40:1']?.['inputs'], {
    seed: 9,
    steps: 4,
    cfg: 7,
    sampler_name: 'ddim',
    scheduler: 'simple',
    denoise: 0.5,
    model: ['4', 0],
    positive: ['6', 0],
    latent_image: ['40:0', 0],
  });
  assert.deepEqual(graph['41']?.['inputs'], { samples: ['40:1', 0], vae: ['4', 2] });
});

test('circles and links to nothing end', () => {
  const reroute = (id: number, link: number) => node(id, 'Reroute', { inputs: [input('', '*', link)] });
  const page = {
    nodes: [reroute(1, 1), reroute(2, 2), text(6, 3, 'x'), text(7, 99, 'y')],
    links: [
      [1, 2, 0, 1, 0, '*'],
      [2, 1, 0, 2, 0, '*'],
      [3, 1, 0, 6, 0, 'CLIP'],
    ],
  };
  assert.deepEqual(inputsOf(page, '6'), { text: 'x' });
  assert.deepEqual(inputsOf(page, '7'), { text: 'y' });
});
