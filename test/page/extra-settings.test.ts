/** The settings that most pictures do without, without a browser: the table, what it sends, and what is read back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestSchemas, type Task } from '../../src/generation/request.ts';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';
import { jobBody } from '../../src/server/routes/jobs/job-body.ts';
import { imageToImageFields, textToImageFields } from '../../src/server/routes/a1111/generation-fields.ts';
import { hasAdapter, toggled, toggledWords, weightOf, withWeight } from '../../web/src/create/adapter-prompt.ts';
import { type Extra, type ExtraField, extraGroups } from '../../web/src/settings/extra-fields.ts';
import {
  checkedExtra,
  extraForA1111,
  extraOfPicture,
  extraRequest,
  extraRows,
  withVariationSeed,
} from '../../web/src/settings/extra-settings.ts';

/** A value of a field that is not its default. */
function another({ control, initial }: ExtraField): string | number | boolean {
  if (control.kind === 'seed') return 77;
  if (control.kind === 'switch') return true;
  if (control.kind === 'choice') return control.options.map(([name]) => name).find((name) => name !== initial) ?? '';
  return initial === control.max ? control.min : control.max;
}

/** Every field of a task, with another value than its default. */
function everything(task: Task): Extra {
  const groups = extraGroups.filter(({ tasks = [task] }) => tasks.includes(task));
  return Object.fromEntries(
    groups.flatMap((group) => [
      ...(group.toggle === undefined ? [] : [[group.name, true] as const]),
      ...group.fields.map((field) => [field.path, another(field)] as const),
    ]),
  );
}

const tasks = ['txt2img', 'img2img', 'inpaint'] as const;

test('every setting is a field of the jobs API, and of the library where it is not of the server alone', () => {
  for (const task of tasks) {
    const sent = extraRequest(everything(task), task, 'server');
    assert.ok(Object.keys(sent).length >= 8, task);
    const { data, error } = jobBody.safeParse({ task, prompt: 'a', ...sent });
    assert.equal(error?.message, undefined);
    const { inpaint, outpaint, ...others } = sent;
    assert.deepEqual(data?.outpaint, outpaint && { method: 'mk2', ...outpaint });
    for (const [name, value] of Object.entries(others))
      assert.deepEqual(data?.[name as keyof typeof data], value, name);
    if (task === 'inpaint') assert.deepEqual(data?.inpaint, { invert: false, ...(inpaint as object) });
    // The page draws prompts itself.
    const { inpaint: _, dynamicPrompts, ...inBrowser } = extraRequest(everything(task), task, 'browser');
    assert.equal(dynamicPrompts, true);
    assert.equal('hires' in inBrowser, false);
    assert.equal(requestSchemas[task].safeParse({ task, prompt: 'a', ...inBrowser }).error?.message, undefined);
  }
});

test("A1111's API gets the settings that it has by its names", () => {
  for (const [task, schema] of [
    ['txt2img', textToImageFields],
    ['inpaint', imageToImageFields],
  ] as const) {
    const { override_settings, ...sent } = extraForA1111(everything(task), task);
    for (const name of Object.keys(sent)) assert.ok(Object.hasOwn(schema.shape, name), name);
    assert.deepEqual(override_settings, { CLIP_stop_at_last_layers: 12, token_merging_ratio: 0.9 });
  }
  assert.deepEqual(extraForA1111({ 'inpaint.fill': 'latent noise', onlyMasked: true }, 'inpaint'), {
    inpainting_fill: 2,
    mask_blur: 4,
    inpaint_full_res: true,
    inpaint_full_res_padding: 32,
  });
});

test('what is at its default, off, or of another task is not sent', () => {
  assert.deepEqual(extraRequest({}, 'txt2img', 'server'), {});
  assert.deepEqual(
    extraRequest({ 'noiseSettings.subseed': 5, 'hires.steps': 3, 'freeU.b1': 1 }, 'txt2img', 'server'),
    {},
  );
  assert.deepEqual(extraRequest({ 'hires.scale': 2 }, 'img2img', 'server'), {});
  assert.deepEqual(extraRequest({ 'hires.scale': 2 }, 'txt2img', 'server'), {
    hires: { scale: 2, strength: 0.5, upscaler: 'lanczos' },
  });
  assert.deepEqual(extraRequest({ freeU: true, 'freeU.b1': 1.2 }, 'txt2img', 'browser'), {
    freeU: { b1: 1.2, b2: 1.6, s1: 0.9, s2: 0.2 },
  });
  assert.deepEqual(extraRequest({ 'noiseSettings.subseedStrength': 0.3 }, 'txt2img', 'server'), {
    noiseSettings: { subseedStrength: 0.3 },
  });
  assert.deepEqual(withVariationSeed({}, 9), {});
});

test('values of any origin are checked', () => {
  assert.deepEqual(checkedExtra({ clipSkip: '99', seamless: 'z', tokenMerging: 'many', unknown: 1, freeU: 'yes' }), {
    clipSkip: 12,
  });
  assert.deepEqual(checkedExtra(null), {});
  assert.deepEqual(checkedExtra(JSON.parse(JSON.stringify(everything('txt2img')))), everything('txt2img'));
});

test('read back from a record, and from the text under a picture', () => {
  for (const task of ['txt2img', 'img2img'] as const) {
    const extra = everything(task);
    const { hires: _, ...record } = extraRequest(extra, task, 'server');
    const expected = Object.fromEntries(Object.entries(extra).filter(([path]) => !path.startsWith('hires.')));
    assert.deepEqual(extraOfPicture({}, record), expected);
  }
  const text =
    'a\nSteps: 4, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, Denoising strength: 0.4, Clip skip: 2, Tiling: True, Mask blur: 8, Inpaint area: Only masked, Masked area padding: 16, Masked content: latent noise, Hires upscale: 1.5, Hires steps: 3, Hires upscaler: Nearest, Variation seed: 18446744073709551000, Variation seed strength: 0.25';
  assert.deepEqual(extraOfPicture(parseInfotext(text), undefined), {
    clipSkip: 2,
    seamless: 'both',
    'inpaint.blur': 8,
    'inpaint.fill': 'latent noise',
    onlyMasked: true,
    'inpaint.onlyMaskedPadding': 16,
    'hires.scale': 1.5,
    'hires.strength': 0.4,
    'hires.steps': 3,
    'hires.upscaler': 'nearest',
    'noiseSettings.subseedStrength': 0.25,
    'noiseSettings.subseed': '18446744073709551000',
  });
  // The strength of img2img is not that of a second pass.
  assert.deepEqual(extraOfPicture(parseInfotext('a\nSteps: 4, Denoising strength: 0.4'), undefined), {});
});

test('rows for people', () => {
  assert.deepEqual(extraRows({}, 'inpaint'), []);
  assert.deepEqual(extraRows({ seamless: 'x', freeU: true }, 'txt2img'), [
    ['Seamless', 'Left and right'],
    ['FreeU: Backbone 1', '1.5'],
    ['FreeU: Backbone 2', '1.6'],
    ['FreeU: Skip 1', '0.9'],
    ['FreeU: Skip 2', '0.2'],
  ]);
});

test('LoRAs and trigger words go into the prompt and out of it', () => {
  const lora = { kind: 'lora', name: 'ink (v1.2)', weight: 0.8 } as const;
  const prompt = toggled('a cat', lora);
  assert.equal(prompt, 'a cat <lora:ink (v1.2):0.8>');
  assert.ok(hasAdapter(prompt, lora));
  assert.equal(hasAdapter(prompt, { kind: 'lora', name: 'ink' }), false);
  assert.equal(weightOf(prompt, lora.name), 0.8);
  assert.equal(withWeight(prompt, lora.name, 1.25), 'a cat <lora:ink (v1.2):1.25>');
  assert.equal(toggled(prompt, lora), 'a cat');
  assert.equal(toggledWords('a cat', 'ink style'), 'a cat, ink style');
  assert.equal(toggledWords('a cat, ink style, dark', 'ink style'), 'a cat, dark');
  assert.equal(toggledWords('ink style, dark', 'ink style'), 'dark');
  assert.equal(toggledWords('a catalogue', 'cat'), 'a catalogue, cat');
  assert.equal(toggled('', { kind: 'embedding', name: 'bad-hands' }), 'bad-hands');
});
