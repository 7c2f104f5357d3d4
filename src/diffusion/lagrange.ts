/** Coefficients by rising power of the Lagrange polynomial that is 1 at nodes[j] and 0 at the others. */
export function lagrangePolynomial(nodes: readonly number[], j: number): number[] {
  let polynomial = [1];
  const pivot = nodes[j] as number;
  for (const [k, node] of nodes.entries()) {
    if (k === j) continue;
    const scale = 1 / (pivot - node);
    polynomial = [...polynomial, 0].map(
      (c, power) => scale * ((power > 0 ? (polynomial[power - 1] as number) : 0) - node * c),
    );
  }
  return polynomial;
}
