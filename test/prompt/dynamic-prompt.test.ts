/** Dynamic prompts against recordings of sd-dynamic-prompts' library (dynamic-golden.py). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import { resolveDynamicPrompt } from '../../src/prompt/dynamic-prompt.ts';
import { openWildcards } from '../../src/prompt/wildcard-folder-node.ts';
import { reference } from '../reference.ts';

const wildcards = await openWildcards(reference('prompt/wildcards'));
const recorded = JSON.parse(readFileSync(reference('prompt/dynamic-prompts.json'), 'utf8')) as [
  string,
  number,
  string,
][];

test('a template and a seed give the prompt of the original', () => {
  assert.ok(recorded.length > 80);
  for (const [template, seed, prompt] of recorded)
    assert.equal(resolveDynamicPrompt(template, BigInt(seed), wildcards), prompt, `${template}, seed ${seed}`);
});

test('a template that cannot be read or is not supported is refused with the reason', () => {
  const refused = (template: string, message: RegExp): void => {
    assert.throws(
      () => resolveDynamicPrompt(template, 1n, wildcards),
      (error) =>
        error instanceof StableDiffusionError && error.code === 'invalid-argument' && message.test(error.message),
      template,
    );
  };
  refused('{a|b', /the \} of a choice is missing/);
  refused('a } b', /without its \{/);
  refused('{!a|b}', /only random choices/);
  refused('__@colour__', /only random choices/);
  refused('%{a ... $$b}', /wrapping/);
  const variable = (inside: string): string => `\${${inside}}`;
  refused(variable('nothing'), /has no value/);
  refused(variable(`a=${variable('a')}`) + variable('a'), /contains itself/);
  refused('{'.repeat(100), /deep/);
  refused('{0::a|0::b}', /weights/);
});

test('files that name one another end in a refusal', () => {
  assert.throws(() => resolveDynamicPrompt('__a__', 1n, () => ['__a__']), /without an end/);
  const wide = (): string[] => ['__a__ __a__ __a__ __a__'];
  assert.throws(() => resolveDynamicPrompt('__a__', 1n, wide), StableDiffusionError);
  const doubling = (path: string): string[] => [path === '40' ? '{|}' : `__${Number(path) + 1}__`.repeat(2)];
  assert.throws(() => resolveDynamicPrompt('__1__', 1n, doubling), /at most 100000 parts/);
});

test('names of files outside of the folder name nothing', async () => {
  assert.deepEqual(wildcards('../dynamic-prompts'), []);
  assert.equal(resolveDynamicPrompt('__../colour__', 1n, wildcards), '__../colour__');
  await assert.rejects(openWildcards('/nowhere'), /cannot be read/);
});
