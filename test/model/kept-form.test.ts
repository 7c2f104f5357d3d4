import assert from 'node:assert/strict';
import test from 'node:test';
import { KeptForm } from '../../src/model/kept-form.ts';

class Form implements AsyncDisposable {
  isOpen = true;
  async [Symbol.asyncDispose](): Promise<void> {
    this.isOpen = false;
  }
}

test('the next run with the same key gets the form of the run before it', async () => {
  const kept = new KeptForm<Form>();
  const first = await kept.lease('a', () => new Form());
  await first[Symbol.asyncDispose]();
  assert.ok(first.form.isOpen, 'kept between runs');
  const second = await kept.lease('a', () => new Form());
  assert.equal(second.form, first.form);
  await kept[Symbol.asyncDispose]();
  assert.ok(!first.form.isOpen);
});

test('another key frees the form, but not under a run that was paused', async () => {
  const kept = new KeptForm<Form>();
  const paused = await kept.lease('a', () => new Form());
  const other = await kept.lease('b', () => new Form());
  assert.ok(paused.form.isOpen, 'the paused run goes on with its form');
  await other[Symbol.asyncDispose]();
  assert.ok(other.form.isOpen, 'the newest form is kept');
  await paused[Symbol.asyncDispose]();
  assert.ok(!paused.form.isOpen, 'freed when its run ended');
  const third = await kept.lease('c', () => new Form());
  assert.ok(!other.form.isOpen, 'freed at once: no run has it');
  assert.ok(third.form.isOpen);
});

test('a lease that is given back twice counts once', async () => {
  const kept = new KeptForm<Form>();
  const first = await kept.lease('a', () => new Form());
  const second = await kept.lease('a', () => new Form());
  await first[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
  await kept.free();
  assert.ok(second.form.isOpen, 'the second run still has it');
  await second[Symbol.asyncDispose]();
  assert.ok(!second.form.isOpen);
});

test('a run without a form frees what is kept', async () => {
  const kept = new KeptForm<Form>();
  const lease = await kept.lease('a', () => new Form());
  await lease[Symbol.asyncDispose]();
  await kept.free();
  assert.ok(!lease.form.isOpen);
});
