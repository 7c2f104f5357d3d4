/** The examples for clusters: the fields of Kubeflow's MPIJob (kubeflow/mpi-operator, v2beta1), and what the Slurm script does when a job ends. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as z from 'zod';
import { parseYaml } from '../../src/config/yaml.ts';
import { trainCommand } from '../../src/cli/commands/train.ts';
import { temporaryFolder } from '../cli/run-cli.ts';

const whole = z.int().nonnegative();
const resources = z.record(z.string(), z.union([z.string(), z.number()]));
/** Of a container and a pod the fields that examples use; Kubernetes knows many more. */
const container = z.strictObject({
  name: z.string(),
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  resources: z.strictObject({ requests: resources.optional(), limits: resources.optional() }).optional(),
  volumeMounts: z.array(z.strictObject({ name: z.string(), mountPath: z.string() })).optional(),
});
const podSpec = z.strictObject({
  containers: z.array(container).min(1),
  volumes: z
    .array(
      z.strictObject({ name: z.string(), persistentVolumeClaim: z.strictObject({ claimName: z.string() }).optional() }),
    )
    .optional(),
});
const replicas = z.strictObject({
  replicas: whole.optional(),
  // The operator's validation has no others.
  restartPolicy: z.enum(['OnFailure', 'Never']).optional(),
  template: z.strictObject({ metadata: z.unknown().optional(), spec: podSpec }),
});
const mpiJob = z.strictObject({
  apiVersion: z.literal('kubeflow.org/v2beta1'),
  kind: z.literal('MPIJob'),
  metadata: z.strictObject({ name: z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/) }),
  spec: z.strictObject({
    slotsPerWorker: whole.optional(),
    sshAuthMountPath: z.string().optional(),
    launcherCreationPolicy: z.enum(['AtStartup', 'WaitForWorkersReady']).optional(),
    runLauncherAsWorker: z.boolean().optional(),
    mpiImplementation: z.enum(['OpenMPI', 'Intel', 'MPICH']).optional(),
    runPolicy: z
      .strictObject({
        cleanPodPolicy: z.enum(['All', 'Running', 'None']).optional(),
        ttlSecondsAfterFinished: whole.optional(),
        activeDeadlineSeconds: whole.optional(),
        backoffLimit: whole.optional(),
        suspend: z.boolean().optional(),
        managedBy: z.enum(['kubeflow.org/mpi-operator', 'kueue.x-k8s.io/multikueue']).optional(),
      })
      .optional(),
    mpiReplicaSpecs: z.strictObject({ Launcher: replicas, Worker: replicas }),
  }),
});

const example = (name: string): string => readFileSync(join(import.meta.dirname, '../../examples', name), 'utf8');

test('the MPIJob has fields of its kind, as many ranks as slots, volumes that are there, and options of sd train', () => {
  const document = parseYaml(example('kubernetes/mpijob.yaml'), 'mpijob.yaml');
  const { spec } = mpiJob.parse(document);
  const { Launcher, Worker } = spec.mpiReplicaSpecs;
  const [launcher] = Launcher.template.spec.containers;
  const words = [...(launcher?.command ?? []), ...(launcher?.args ?? [])];
  assert.equal(words[0], 'mpirun');
  assert.equal(Number(words[words.indexOf('-n') + 1]), (Worker.replicas ?? 0) * (spec.slotsPerWorker ?? 1));
  const flags = Object.values(trainCommand.options).flatMap((option) => option.flags as readonly string[]);
  const own = words.slice(words.indexOf('sd') + 1);
  assert.equal(own[0], 'train');
  for (const word of own.slice(1)) assert.ok(flags.includes(word.split('=')[0] as string), word);
  const volumes = Worker.template.spec.volumes?.map(({ name }) => name);
  for (const { name } of Worker.template.spec.containers[0]?.volumeMounts ?? []) assert.ok(volumes?.includes(name));
  // The check can fail.
  assert.throws(() => mpiJob.parse({ ...(document as object), spec: { ...spec, slotsPerWorkers: 1 } }));
});

test('the Slurm script puts a stopped job back into the queue, and no other', {
  skip: process.platform === 'win32' && 'no bash',
}, (context) => {
  const folder = temporaryFolder(context);
  const log = join(folder, 'log');
  const program = (name: string, body: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\necho "${name} $*" >> "${log}"\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  program('scontrol', 'exit 0');
  for (const [status, requeued] of [
    [130, true],
    [0, false],
    [1, false],
  ] as const) {
    program('srun', `exit ${status}`);
    writeFileSync(log, '');
    const run = spawnSync(
      'bash',
      [join(import.meta.dirname, '../../examples/slurm/train.sbatch'), 'a.yaml', 'runs/a'],
      {
        env: { ...process.env, PATH: `${folder}:${process.env['PATH']}`, SLURM_JOB_ID: '17', SLURM_CPUS_PER_TASK: '8' },
      },
    );
    assert.equal(run.status, status);
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    assert.match(lines[0] ?? '', /^srun .*--kill-on-bad-exit=1.* sd train --config a\.yaml --run runs\/a --resume/);
    assert.deepEqual(lines.slice(1), requeued ? ['scontrol requeue 17'] : []);
  }
});
