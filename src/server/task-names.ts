/** TaskNames: jobs by the names that A1111's clients give them (`force_task_id`); each caller has its own, and the oldest of many are forgotten. */

export interface TaskNames {
  set(owner: string, task: string, job: string): void;
  /** The job's id. */
  get(owner: string, task: string): string | undefined;
  /** The names of a caller, the oldest first. */
  of(owner: string): readonly (readonly [task: string, job: string])[];
}

/** Names kept for all callers together. */
const maximumNames = 1000;

export function createTaskNames(): TaskNames {
  const names = new Map<string, { readonly owner: string; readonly task: string; readonly job: string }>();
  const keyOf = (owner: string, task: string): string => JSON.stringify([owner, task]);
  return {
    set(owner, task, job) {
      const key = keyOf(owner, task);
      names.delete(key);
      names.set(key, { owner, task, job });
      for (const oldest of [...names.keys()].slice(0, Math.max(0, names.size - maximumNames))) names.delete(oldest);
    },
    get: (owner, task) => names.get(keyOf(owner, task))?.job,
    of: (owner) =>
      [...names.values()].filter((name) => name.owner === owner).map(({ task, job }) => [task, job] as const),
  };
}
