/** Options that need another one, or exclude it: refused in one line, before anything is loaded. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commands } from '../../src/cli/commands.ts';
import { checkTogether, excluding, needing } from '../../src/cli/needed-options.ts';
import { choice, flag, text, UsageError } from '../../src/cli/options.ts';
import { sd } from './run-cli.ts';

const refused: Readonly<Record<string, string>> = {
  'txt2img x --taesd t': '--taesd needs --preview, --preview-file FILE or --decoder taesd.',
  'plot x --x Steps=1 --taesd t': '--taesd needs --decoder taesd.',
  'txt2img x --switch-at 0.5': '--switch-at needs --refiner MODEL.',
  'plot x --x Steps=1 --switch-at 0.5': '--switch-at needs --refiner MODEL.',
  'txt2img x --classifier-scale 2': '--classifier-scale needs --classifier FILE.',
  'txt2img x --emphasis Ignore': '--emphasis needs --prompt-syntax a1111.',
  'img2img x --subseed 3 --noise comfy': '--subseed needs --noise a1111-cpu, a1111-gpu or a1111-nv.',
  'img2img x --outpaint-blur 3': '--outpaint-blur needs --outpaint SIDES.',
  'img2img x --outpaint 64 --outpaint-fill fill': '--outpaint-fill needs --outpaint-method poor-mans.',
  'img2img x --outpaint 64 --outpaint-method poor-mans --outpaint-color 0.1':
    '--outpaint-color and --outpaint-method poor-mans exclude each other; give one.',
  'txt2img x --wildcards words': '--wildcards needs --dynamic-prompts.',
  'txt2img x --control-rule a1111': '--control-rule needs --control MODEL=PICTURE,… or --ip-adapter MODEL=PICTURE,….',
  'txt2img x -o a.png --outdir b': '--outdir and --output exclude each other; give one.',
  'inspect x --quick --verify': '--quick and --verify exclude each other; give one.',
  'serve --tls-cert a.pem': '--tls-cert needs --tls-key FILE.',
  'serve --redis-prefix a': '--redis-prefix needs --redis URL.',
  'data filter x --min-clip-score 0.3': '--min-clip-score needs --clip FILE.',
};

for (const [line, message] of Object.entries(refused))
  test(`sd ${line} is refused`, async () => {
    const { code, err } = await sd(line.split(' '));
    assert.deepEqual([code, err], [2, `sd: ${message} [usage]\n`]);
  });

test('an option that is given from outside counts as given, and is not asked for what it needs', () => {
  const options = { a: needing(text(['--a'], 'X', ''), '--b'), b: text(['--b'], 'Y', '') };
  checkTogether(options, { a: '1' }, { a: '1', b: '2' });
  checkTogether(options, {}, { a: '1' });
  assert.throws(() => checkTogether(options, { a: '1' }, { a: '1' }), UsageError);
  // A command without the other option has no such rule.
  checkTogether({ a: options.a }, { a: '1' }, { a: '1' });
  const one = { a: excluding(flag(['--a'], ''), '--n x|y'), n: choice(['--n'], ['x', 'y', 'z'], '') };
  checkTogether(one, { a: true }, { a: true, n: 'z' });
  assert.throws(() => checkTogether(one, { a: true }, { a: true, n: 'y' }), /--a and --n y exclude/);
});

test('every rule names an option of its command, and values that the option has', async () => {
  let rules = 0;
  const loaded = await Promise.all(commands.map(async ({ name, load }) => ({ name, command: await load() })));
  const flags = new Set(loaded.flatMap(({ command }) => Object.values(command.options).flatMap((one) => one.flags)));
  for (const { name, command } of loaded)
    for (const { flags: own, needs = [], excludes = [] } of Object.values(command.options))
      for (const rule of [...needs, ...excludes]) {
        rules++;
        const [flag = '', values] = rule.split(' ');
        assert.ok(flags.has(flag), `sd ${name} ${own[0]}: ${flag}`);
        const option = Object.values(command.options).find((one) => one.flags.includes(flag));
        for (const value of values?.split('|') ?? [])
          assert.ok(!option || option.choices?.includes(value), `sd ${name} ${own[0]}: ${flag} ${value}`);
      }
  assert.ok(rules > 20);
});
