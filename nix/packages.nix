# recrate's own programs, built with nixpkgs. The builder is apart, from its own sources only: a change of the driver
# does not change it, and so no derivation that uses it.
{ pkgs }:
let
  manifest = builtins.fromTOML (builtins.readFile ../Cargo.toml);
  inherit (manifest.package) version;

  # The sources below these paths, and nothing else of the repository.
  sources =
    name: paths:
    builtins.path {
      inherit name;
      path = ../.;
      filter =
        path: _:
        let
          inside = builtins.substring (builtins.stringLength (toString ../.) + 1) (-1) path;
          isPrefix = a: b: builtins.substring 0 (builtins.stringLength a) b == a;
        in
        builtins.any (
          wanted: inside == wanted || isPrefix "${wanted}/" inside || isPrefix "${inside}/" wanted
        ) paths;
    };
  all = [
    "Cargo.lock"
    "Cargo.toml"
    "src/bin"
    "src/builder"
    "src/builder.rs"
    "src/contract"
    "src/contract.rs"
    "src/lib.rs"
    "src/main.rs"
    "src/model"
    "src/model.rs"
    # Named in Cargo.toml.
    "benches"
    "examples/registry/make.rs"
    "examples/registry/workshop.rs"
    "tests/nix_versions.rs"
    "tests/real_releases.rs"
  ];
  driverSource = sources "recrate-source" (
    all
    ++ [
      "nix"
      "src"
    ]
  );
  judgeSource = sources "recrate-judge-source" (
    all
    ++ [
      "nix/toolchains.json"
      "src/judge.rs"
      "src/stages"
      "src/stages.rs"
    ]
  );
  common = {
    inherit version;
    cargoLock.lockFile = ../Cargo.lock;
    # The tests need a Nix to build with; they run outside.
    doCheck = false;
  };

  # A program that Nix runs. Static: it runs in a sandbox that has nothing else.
  program =
    name: src:
    pkgs.pkgsStatic.rustPlatform.buildRustPackage (
      common
      // {
        pname = "recrate-${name}";
        inherit src;
        buildNoDefaultFeatures = true;
        buildFeatures = [ name ];
        cargoBuildFlags = [ "--bin=recrate-${name}" ];
      }
    );
in
rec {
  recrate-builder = program "builder" (sources "recrate-builder-source" all);

  # It has the comparison and nothing of the driver.
  recrate-judge = program "judge" judgeSource;

  # Nix runs it where the store lacks an input. What it brings is pinned, so it changes no output.
  recrate-fetcher = program "fetcher" driverSource;

  recrate = pkgs.rustPlatform.buildRustPackage (
    common
    // {
      pname = "recrate";
      src = driverSource;
      cargoBuildFlags = [ "--bin=recrate" ];
      # The driver looks for them beside itself. As `recrate-verify` it is `recrate verify`.
      postInstall = ''
        cp ${recrate-builder}/bin/* ${recrate-fetcher}/bin/* ${recrate-judge}/bin/* $out/bin/
        ln -s recrate $out/bin/recrate-verify
      '';
      meta.mainProgram = "recrate";
    }
  );

  # What nix/plan.nix takes as `runtime`: what official cargos link.
  runtime = pkgs.buildEnv {
    name = "cargo-runtime";
    paths = [
      pkgs.glibc
      pkgs.stdenv.cc.cc.lib
    ];
    pathsToLink = [ "/lib" ];
  };

  # What nix/plan.nix takes as `programs`.
  programs = {
    builder = "${recrate-builder}/bin/recrate-builder";
    fetcher = "${recrate-fetcher}/bin/recrate-fetcher";
    judge = "${recrate-judge}/bin/recrate-judge";
  };
}
