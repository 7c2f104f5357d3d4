/** Index `i` of an axis of `length` elements, mirrored at the borders without repeating the edge (`reflect` of PyTorch, OpenCV's REFLECT_101). */
export function reflectedIndex(i: number, length: number): number {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const at = ((i % period) + period) % period;
  return at < length ? at : period - at;
}
