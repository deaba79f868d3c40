# From a plan to derivations: without nixpkgs, without import from derivation, without anything impure.
#
# This is the second of two independent generators; the first is src/stages/derivation.rs, inside the driver. Both must
# give the same .drv paths, and every run of recrate asserts it. The plan's format is docs/plan.schema.json.
#
#   nix-instantiate nix/plan.nix -A rebuilds --argstr planFile "$PWD/plan.json"
{
  planFile ? null,
  plan ? builtins.fromJSON (builtins.readFile planFile),
}:

assert plan.schema == 1 || throw "recrate: this plan has schema ${toString plan.schema}, this nix/ reads schema 1";

let
  inherit (plan) system;

  # A leaf whose content the plan pins, named `name`. Nix takes it from the store, or else runs `fetch`.
  fixed =
    {
      name,
      hash,
      recursive ? true,
      ...
    }@args:
    derivation (
      removeAttrs args [
        "hash"
        "recursive"
      ]
      // {
        outputHash = hash;
        outputHashAlgo = "sha256";
        outputHashMode = if recursive then "recursive" else "flat";
      }
    );

  # One of recrate's own programs: nothing but Nix itself could fetch it.
  program =
    name: hash:
    fixed {
      inherit name hash;
      system = "builtin";
      builder = "builtin:fetchurl";
      url = "";
      executable = true;
    };

  builder = program "recrate-builder" plan.builder.narHash;
  fetcher = program "recrate-fetcher" plan.fetcher.narHash;

  # A leaf that recrate's fetcher brings where the store lacks it. Where registries and repositories are on this machine
  # is told by variables that Nix passes on.
  fetched =
    name: hash: verb: asks:
    fixed (
      asks
      // {
        inherit name hash system;
        builder = "${fetcher}";
        args = [ verb ];
        impureEnvVars = [
          "RECRATE_GIT_MIRRORS"
          "RECRATE_REGISTRY"
          "http_proxy"
          "https_proxy"
          "all_proxy"
          "no_proxy"
          "NIX_SSL_CERT_FILE"
        ];
      }
    );

  # A leaf that recrate puts into the store; where it is missing, the builder says so.
  seeded =
    name: hash:
    fixed {
      inherit name hash system;
      builder = "${builder}";
      args = [ "missing" ];
    };

  toolchains = builtins.mapAttrs (
    _: toolchain:
    let
      name = "cargo-${toolchain.release}";
      inherit (toolchain) origin;
    in
    if origin.kind == "imported" then
      seeded name origin.narHash
    else
      derivation {
        inherit name system;
        builder = "${builder}";
        args = [ "unpack-toolchain" ];
        archive = fixed {
          name = "${name}.tar.xz";
          hash = origin.sha256;
          recursive = false;
          system = "builtin";
          builder = "builtin:fetchurl";
          inherit (origin) url;
        };
        runtime = seeded "cargo-runtime" origin.runtime;
        cargoRelease = toolchain.release;
      }
  ) plan.toolchains;

  sources = builtins.mapAttrs (
    commitId: source:
    fetched "source" source.narHash "commit" {
      inherit commitId;
      inherit (source) repository;
    }
  ) plan.sources;

  indexes = builtins.mapAttrs (
    _: pin:
    fetched "index-slice" pin.narHash "index" {
      slice = builtins.toJSON pin;
      passAsFile = [ "slice" ];
    }
  ) plan.indexes;

  lookup =
    what: set: key:
    set.${key} or (throw "recrate: the plan names the ${what} ${key}, which it does not hold");

  rebuild =
    { name, version, recipe, ... }:
    let
      source = lookup "commit" plan.sources recipe.source;
    in
    derivation {
      name = "rebuild-${name}-${version}";
      inherit system;
      builder = "${builder}";
      args = [ "package" ];
      inherit (recipe) allowDirty;
      cargoRelease = plan.toolchains.${recipe.toolchain}.release;
      commit = source.commitObject;
      commitId = recipe.source;
      inherit (recipe) excludeLockfile;
      gitlinks = builtins.concatStringsSep "" (
        map (path: "${source.submodules.${path}} ${path}\n") (builtins.attrNames source.submodules)
      );
      index = lookup "index slice" indexes recipe.index;
      lock = recipe.lock or "";
      lockPaths = builtins.concatStringsSep "\n" (recipe.lockPaths or [ ]);
      inherit (recipe) packagePath;
      passAsFile = [
        "commit"
        "lock"
      ];
      source = lookup "commit" sources recipe.source;
      toolchain = lookup "toolchain" toolchains recipe.toolchain;
    };
in
rec {
  # One rebuild per crate. None of them knows the registry's checksum.
  rebuilds = builtins.mapAttrs (_: rebuild) plan.rebuilds;

  # Their .drv paths, by job name: what the driver compares with its own.
  drvPaths = builtins.mapAttrs (_: drv: drv.drvPath) rebuilds;
}
