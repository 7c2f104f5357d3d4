/** Keeps what a function of a path made for the last few paths: readers read a set's shared files once. */

export function kept<T>(make: (path: string) => T): (path: string) => T {
  const made = new Map<string, T>();
  return (path) => {
    const known = made.get(path);
    if (known !== undefined) return known;
    const value = make(path);
    if (made.size >= 4) made.delete([...made.keys()][0] ?? '');
    made.set(path, value);
    return value;
  };
}
