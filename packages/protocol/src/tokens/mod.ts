/** Keys, claims, tokens, proofs and sealed content. */
export {
  alreadyUsed,
  type BoundToken,
  boundLifeSecondsMax,
  checkBoundToken,
  checkDeployToken,
  checkLameDuckToken,
  checkStopToken,
  checkTriggerToken,
  drainMsMax,
  requestDigest,
  type StopTokenFacts,
  signDeployToken,
  signLameDuckToken,
  signStopToken,
  signTriggerToken,
} from "./bound-tokens.ts";
export {
  type Claims,
  clockLeewaySeconds,
  decodeClaims,
  encodeClaims,
  isNatsToken,
  isTimely,
  type TokenUse,
  tokenBytesMax,
  tokenUse,
} from "./claims.ts";
export { checkEndorsement, readEndorsement, signEndorsement } from "./endorsement.ts";
export {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  isPublicKey,
  type Signer,
  signerOfSeed,
} from "./keys.ts";
export {
  type Environment,
  environmentBytesMax,
  openEnvironment,
  openJson,
  sealEnvironment,
  sealJson,
} from "./sealed-environment.ts";
export {
  openRequest,
  type SealedConnections,
  type SealedFor,
  type SealedRequest,
  sealRequest,
} from "./sealed-request.ts";
export { checkXkeyProof, signXkeyProof, xkeyProofLifeSeconds } from "./xkey-proof.ts";
