# recrate's own programs, built with nixpkgs. The builder is apart, from its own sources only: a change of the rest does
# not change it, and so no derivation that uses it.
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
  # Static: they run in a sandbox that has nothing else. With glibc's own static library and the ordinary compiler, which
  # public caches have; nixpkgs' `pkgsStatic` would build one first.
  build =
    attributes:
    pkgs.rustPlatform.buildRustPackage (
      {
        inherit version;
        cargoLock.lockFile = ../Cargo.lock;
        # The tests need a Nix to build with; they run outside.
        doCheck = false;
        buildInputs = [ pkgs.glibc.static ];
        # The same bytes wherever it is built.
        preBuild = ''
          export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$NIX_BUILD_TOP=/build"
        '';
      }
      // attributes
    );
in
rec {
  recrate-builder = build {
    pname = "recrate-builder";
    src = sources "recrate-builder-source" all;
    buildNoDefaultFeatures = true;
    buildFeatures = [ "builder" ];
    cargoBuildFlags = [ "--bin=recrate-builder" ];
  };

  # Compares in the sandbox.
  recrate-judge = recrate.judge;

  # Nix runs it where the store lacks an input. What it brings is pinned, so it changes no output.
  recrate-fetcher = recrate.fetcher;

  recrate = build {
    pname = "recrate";
    src = sources "recrate-source" (
      all
      ++ [
        "extras"
        "nix"
        "src"
      ]
    );
    outputs = [
      "out"
      "fetcher"
      "judge"
    ];
    # The driver looks for the others beside itself. As `recrate-verify` it is `recrate verify`.
    postInstall = ''
      install -D -t $fetcher/bin $out/bin/recrate-fetcher
      install -D -t $judge/bin $out/bin/recrate-judge
      cp ${recrate-builder}/bin/* $out/bin/
      ln -s recrate $out/bin/recrate-verify
    '';
    meta.mainProgram = "recrate";
  };

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
