/** Inputs of a rootfs. */
export interface RootfsOptions {
  /** Directory of trees, each named by the digest of its inputs. Created if missing. */
  output: string;
  /** The agent's file, installed as `/usr/lib/nex/agent.mjs`. */
  agentPath: string;
  /** The Node binary, installed as `/usr/bin/node`. Defaults to the binary of this process. */
  nodePath?: string;
  /** Additional files: paths in the tree mapped to paths on this host. */
  files?: Record<string, string>;
  /** Base layer: a directory, a tar archive or an OCI image. Default none. */
  base?: string;
  /** Shell script that modifies the base. */
  script?: RootfsScript;
}

/** A script that runs in the base before Nex's own files are added. */
export interface RootfsScript {
  path: string;
  /** Timeout in ms. Default 600,000. */
  timeoutMs?: number;
  /** Receives its output. */
  onOutput?: (chunk: Buffer) => void;
}

/** A rootfs that was built or already existed. */
export interface Rootfs {
  /** The tree, for drivers that use a directory. Many machines may share it; nothing may write to it. */
  directory: string;
  manifest: RootfsManifest;
  /** Whether this call built it. */
  built: boolean;
  /** Notes about the base; absent without one. */
  base?: BaseNotes;
}

/** Entries of a base that are missing or changed in the rootfs, by path. */
export interface BaseNotes {
  /** Files replaced by Nex's own. */
  replaced: string[];
  /** Omitted entries that are not world-readable. */
  hidden: string[];
  /** Omitted devices, pipes and sockets. */
  special: string[];
}

/** Manifest of a tree, stored in the tree as `/usr/lib/nex/rootfs.json`. */
export interface RootfsManifest {
  /** Digest of all members below; also the name of the tree. */
  digest: string;
  versions: { format: number; node: string; arch: string };
  /** Files by path, sorted by name. */
  files: Record<string, RootfsFile>;
  /** Symbolic links of a base and their targets. */
  links?: Record<string, string>;
  /** Empty directories of a base. */
  directories?: string[];
}

/** One file of a tree. */
export interface RootfsFile {
  sha256: string;
  bytes: number;
  executable: boolean;
}

/** Paths of the Node binary and the agent's file in a tree. */
export const rootfsPaths = {
  node: "/usr/bin/node",
  agent: "/usr/lib/nex/agent.mjs",
  manifest: "/usr/lib/nex/rootfs.json",
} as const;
