/** Communicators: the launchers' variables, the kinds of MPI, errors in words, and every operation on real ranks of each MPI that is installed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alone, rangeCounts } from '../../src/distributed/communicator.ts';
import { launchOf, threadsOfRank } from '../../src/distributed/launch.ts';
import { kindOfLibrary, libraryNames } from '../../src/distributed/mpi-kinds.ts';
import { openRanks } from '../../src/distributed/open-node.ts';
import { onRanks, skip } from './mpi.ts';

test('a process without a launcher works alone', async () => {
  const { communicator, launch } = await openRanks('auto', {});
  assert.equal(communicator, alone);
  assert.equal(launch, undefined);
  // One process needs no MPI, and `none` ignores the launcher.
  assert.equal((await openRanks('auto', { PMI_SIZE: '1', PMI_RANK: '0' })).communicator, alone);
  assert.equal((await openRanks('none', { PMI_SIZE: '4', PMI_RANK: '0' })).communicator, alone);
  assert.deepEqual([...(await alone.allReduce(Float32Array.of(1, 2)))], [1, 2]);
});

test('launchers are known by their variables', () => {
  const openMpi = { OMPI_COMM_WORLD_SIZE: '8', OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_LOCAL_SIZE: '4' };
  assert.equal(launchOf(openMpi)?.kind, 'open-mpi');
  assert.equal(launchOf({ PMI_SIZE: '2', PMI_RANK: '1', MPI_LOCALNRANKS: '2' })?.kind, 'mpich');
  const step = { SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '8', SLURM_PROCID: '5', SLURM_STEP_TASKS_PER_NODE: '4(x2)' };
  assert.deepEqual(launchOf(step), { size: 8, rank: 5, localSize: 4, kind: undefined, launcher: 'srun' });
  // A batch script has a rank, but srun did not start it.
  assert.equal(launchOf({ SLURM_PROCID: '0', SLURM_NTASKS: '8' }), undefined);
});

test('ranks of one machine share its cores', () => {
  assert.equal(threadsOfRank(4, { available: 16, all: 16 }), 4);
  assert.equal(threadsOfRank(4, { available: 2, all: 16 }), 2);
  assert.equal(threadsOfRank(4, { available: 2, all: 2 }), 1);
  assert.equal(threadsOfRank(undefined, { available: 6, all: 6 }), 6);
});

test('libraries are known by name, symbols and version', () => {
  const has =
    (...names: string[]) =>
    (name: string) =>
      names.includes(name);
  const kind = (path: string, version: string, ...names: string[]) =>
    kindOfLibrary({ path, version, hasSymbol: has(...names) })?.name;
  assert.equal(kind('/opt/lib/libmpi_abi.so.0', 'MPICH Version: 5.0', 'ompi_mpi_comm_world'), "MPI 5's ABI");
  assert.equal(kind('libmpi.so.40', 'Open MPI v4.1.4', 'ompi_mpi_comm_world'), 'Open MPI');
  assert.equal(kind('libmpi.so.12', 'Intel(R) MPI Library 2021.13'), "MPICH's ABI");
  assert.equal(kind('libmpi.so', 'Somebody 1.0'), undefined);
  assert.deepEqual(libraryNames('mpich', 'linux').slice(0, 2), ['libmpich.so.12', 'libmpi.so.12']);
});

test('parts are even in multiples of a unit', () => {
  assert.deepEqual(rangeCounts(100, 3, 16), [32, 32, 36]);
  assert.deepEqual(rangeCounts(5, 8), [0, 1, 0, 1, 1, 0, 1, 1]);
});

test('a missing library, and one that is none, are refused in words', {
  skip: process.platform !== 'linux' && 'the library is named for Linux',
}, async () => {
  const refused = (library: string): Promise<unknown> => openRanks('mpi', { SD_MPI_LIBRARY: library });
  await assert.rejects(refused('/nowhere/libmpi.so'), { code: 'engine-unavailable', message: /could not be loaded/ });
  await assert.rejects(refused('libm.so.6'), { code: 'engine-unavailable', message: /not a library of MPI/ });
});

for (const name of ['Open MPI', 'MPICH'])
  test(`every operation gives each rank its values on ${name}`, { skip: skip(name), timeout: 200_000 }, async () => {
    for (const size of [2, 3]) {
      const { code, out, err } = await onRanks(name, size, ['test/distributed/collectives-ranks.ts']);
      assert.equal(code, 0, err);
      for (let rank = 0; rank < size; rank++) assert.match(out, new RegExp(`rank ${rank} of ${size} done`));
    }
  });

test("the library of another MPI than the launcher's is refused", {
  skip: skip('Open MPI') || skip('MPICH'),
}, async () => {
  const { code, err } = await onRanks('MPICH', 2, ['test/distributed/collectives-ranks.ts'], {
    environment: { SD_MPI_LIBRARY: 'libmpi.so.40' },
  });
  assert.notEqual(code, 0);
  assert.match(
    err,
    /MPICH's mpiexec started 2 processes, but libmpi\.so\.40 .* finds 1: it is the library of another MPI/,
  );
});
