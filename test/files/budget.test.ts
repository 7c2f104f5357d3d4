/** One budget for all parts of a file. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBudget } from '../../src/files/budget.ts';

const tooLarge = (message: RegExp) => ({ code: 'too-large', message });

test('parts are charged to one sum', () => {
  const budget = createBudget('x.pt', { bytes: 100, elements: 10 });
  budget.bytes(60, 'a');
  budget.bytes(40, 'b');
  assert.throws(() => budget.bytes(1, 'the field c'), tooLarge(/x\.pt.*field c.*101 bytes.*100/));
  budget.elements(10, 'rows');
  assert.throws(() => budget.elements(1, 'the list of rows'), tooLarge(/rows.*more than 10/));
});

test('numbers that are none are refused', () => {
  assert.throws(() => createBudget('x', { bytes: 10 }).bytes(Number.NaN, 'a'), tooLarge(/a/));
  assert.throws(() => createBudget('x', { elements: 10 }).elements(Number.POSITIVE_INFINITY, 'a'), tooLarge(/a/));
});

test('the clock is looked at while elements are charged', () => {
  let time = 0;
  const budget = createBudget('x.yaml', { milliseconds: 2000 }, () => time);
  budget.elements(5000, 'keys');
  time = 2001;
  budget.elements(1, 'keys');
  assert.throws(() => budget.elements(1024, 'keys'), tooLarge(/keys took longer than 2 s/));
  assert.throws(() => budget.checkTime('keys'), tooLarge(/2 s/));
});

test('without limits nothing is refused', () => {
  const budget = createBudget('x', {});
  budget.bytes(Number.MAX_SAFE_INTEGER, 'a');
  budget.elements(Number.MAX_SAFE_INTEGER, 'a');
});
