/** What a rootfs is made of. */
export interface RootfsOptions {
  /** The directory in which trees are kept, each under the digest of what it is made of. Made when missing. */
  output: string;
  /** The agent's file, which becomes `/usr/lib/nex/agent.mjs`. */
  agentPath: string;
  /** The Node binary, which becomes `/usr/bin/node`. Default: the one that runs this program. */
  nodePath?: string;
  /** Further files: their places in the tree, and where they are on this host. */
  files?: Record<string, string>;
  /** What stands below all of these: a directory, a tar archive, or an image in the form of OCI. Default nothing. */
  base?: string;
  /** A shell script that changes the base. */
  script?: RootfsScript;
}

/** A script that is run in the base, before Nex's own files are put over it. */
export interface RootfsScript {
  path: string;
  /** How long it may take. Default 600,000. */
  timeoutMs?: number;
  /** Is given what it prints. */
  onOutput?: (chunk: Buffer) => void;
}

/** A rootfs that has been built, or was there already. */
export interface Rootfs {
  /** The tree, for drivers that want a directory. Many machines may use it at once; nobody may write to it. */
  directory: string;
  manifest: RootfsManifest;
  /** It was built now, not found. */
  built: boolean;
  /** What became of a base; absent without one. */
  base?: BaseNotes;
}

/** What is not in a rootfs as it was in its base, by place. */
export interface BaseNotes {
  /** Files whose place is taken by one of Nex's own. */
  replaced: string[];
  /** What not everybody may read, which is left out. */
  hidden: string[];
  /** Devices, pipes and sockets, which are left out. */
  special: string[];
}

/** What is in a tree. It stands in the tree itself, at `/usr/lib/nex/rootfs.json`. */
export interface RootfsManifest {
  /** Of everything below; also the tree's name. */
  digest: string;
  versions: { format: number; node: string; arch: string };
  /** By their places in the tree, in the order of their names. */
  files: Record<string, RootfsFile>;
  /** Symbolic links of a base, with what they say. */
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

/** Where the Node binary and the agent's file stand in a tree. */
export const rootfsPaths = {
  node: "/usr/bin/node",
  agent: "/usr/lib/nex/agent.mjs",
  manifest: "/usr/lib/nex/rootfs.json",
} as const;
