/**
 * Loads the node with its native libraries, when it is to be started: one that is missing is then an error to be
 * reported, not the end of the process. Alone in this file because the compiler rewrites the ending of a dynamic
 * import only in a file without static ones.
 */
export const loadNode = () => import('./node.ts');
